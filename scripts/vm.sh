#!/bin/sh
# A machine of another kind to run kaged on: Debian for arm64 with systemd and cgroup v2, emulated by QEMU.
# See docs/contributors/other-machines.md.
set -eu

checkout=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
PATH=$PATH:/usr/sbin:/sbin
suite=bookworm python=3.11 port=${VM_PORT:-2299}
packages=systemd,systemd-sysv,dbus,dbus-user-session,libpam-systemd,openssh-server,linux-image-arm64,initramfs-tools
packages=$packages,python3,python3-venv,bubblewrap,ripgrep,git,tar,nftables,iproute2,ca-certificates,curl,procps,kmod
packages=$packages,gcc,libc6-dev,linux-libc-dev,uidmap,openssl,netbase,strace

usage() {
  cat <<'TEXT'
Usage: vm.sh make FOLDER            a disk with Debian, this checkout and its packages (root; half an hour)
       vm.sh boot FOLDER            start it; returns when it can be reached
       vm.sh run FOLDER USER LINE   run a line in it, as root or alice
       vm.sh send FOLDER            bring in src, tests and benchmarks as they are now
       vm.sh stop FOLDER            end it
TEXT
  exit 2
}

run() {
  who=$1
  shift
  ssh -q -i "$folder/key" -p "$port" -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
    -o ConnectTimeout=60 "$who@127.0.0.1" "$@"
}

files() { tar -c -C "$checkout" --exclude=__pycache__ src tests benchmarks examples scripts docs pyproject.toml uv.lock; }

uv() { "$checkout/.cache/tools/bin/uv" "$@"; }

# `wheels` is for install.sh, which makes an environment of its own; /opt/venv has the checkout and what tests need.
python_packages() {
  root=$folder/root
  mkdir -p "$root/opt/wheels" "$root/opt/src"
  chroot "$root" python3 -m venv --without-pip /opt/venv
  site=$root/opt/venv/lib/python$python/site-packages
  uv export -q --project "$checkout" --locked --no-hashes --no-emit-project --group dev --prune playwright --prune mypy \
    --prune ruff --prune import-linter --output-file "$folder/tests.txt" >/dev/null
  uv pip install -q --no-deps --python-platform aarch64-manylinux_2_28 --python-version "$python" --target "$site" \
    -r "$folder/tests.txt"
  echo /opt/src/src >"$site/kaged.pth"
  files | tar -x -C "$root/opt/src"
  uv export -q --project "$checkout" --locked --no-dev --no-emit-project \
    --output-file "$root/opt/wheels/requirements.txt" >/dev/null
  python3 -m pip download -q --no-deps --only-binary=:all: --platform manylinux_2_28_aarch64 \
    --platform manylinux2014_aarch64 --python-version "$python" -d "$root/opt/wheels" -r "$root/opt/wheels/requirements.txt"
  uv build -q --wheel --out-dir "$root/opt/wheels" "$checkout"
}

make() {
  mkdir -p "$folder"
  mirror=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE)' | awk -v s="$suite" '$2 == s { print $1; exit }')
  root=$folder/root
  nice -n 19 debootstrap --arch=arm64 --foreign --variant=minbase --include="$packages" "$suite" "$root" "$mirror"
  mkdir -p "$root/etc/initramfs-tools/conf.d" "$root/usr/share/initramfs-tools/modules.d"
  echo MODULES=list >"$root/etc/initramfs-tools/conf.d/vm" # looking at every module takes long in an emulation
  printf '%s\n' virtio_pci virtio_blk ext4 crc32c_generic >"$root/usr/share/initramfs-tools/modules.d/vm"
  nice -n 19 chroot "$root" /debootstrap/debootstrap --second-stage
  echo kagedvm >"$root/etc/hostname"
  echo '127.0.0.1 localhost kagedvm' >"$root/etc/hosts"
  echo 'nameserver 10.0.2.3' >"$root/etc/resolv.conf"
  printf '[Match]\nName=en*\n[Network]\nDHCP=yes\n' >"$root/etc/systemd/network/10-all.network"
  chroot "$root" systemctl -q enable systemd-networkd
  chroot "$root" useradd -m -s /bin/bash alice
  [ -f "$folder/key" ] || ssh-keygen -q -t ed25519 -N '' -f "$folder/key"
  for home in root home/alice; do
    install -D -m 0644 "$folder/key.pub" "$root/$home/.ssh/authorized_keys"
  done
  python_packages
  rm -f "$folder/disk.img"
  truncate -s 6G "$folder/disk.img"
  mkfs.ext4 -q -d "$root" "$folder/disk.img"
  cp "$root"/boot/vmlinuz-* "$folder/vmlinuz"
  cp "$root"/boot/initrd.img-* "$folder/initrd"
}

boot() {
  nice -n 19 qemu-system-aarch64 -M virt,gic-version=3 -cpu cortex-a57 -accel tcg,thread=multi -smp 2 -m 3G -nographic \
    -no-reboot -kernel "$folder/vmlinuz" -initrd "$folder/initrd" -append "console=ttyAMA0 root=/dev/vda rw" \
    -drive "file=$folder/disk.img,if=none,id=d,format=raw,cache=unsafe" -device virtio-blk-pci,drive=d \
    -netdev "user,id=n,hostfwd=tcp:127.0.0.1:$port-:22" -device virtio-net-pci,netdev=n,romfile= \
    -device virtio-rng-pci </dev/null >"$folder/console.log" 2>&1 &
  echo $! >"$folder/pid"
  until run root true; do
    kill -0 "$(cat "$folder/pid")" || exit 1
    sleep 2
  done
}

[ $# -ge 2 ] || usage
what=$1 folder=$2
shift 2
case $what in
  make | boot) "$what" ;;
  run) [ $# -ge 2 ] && run "$@" || exit $? ;;
  send) files | run root 'tar -x -C /opt/src' ;;
  stop) kill "$(cat "$folder/pid")" ;;
  *) usage ;;
esac
