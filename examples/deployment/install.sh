#!/bin/sh
# Install, upgrade or remove kaged: for the whole host (as root) or for one account. Running it again changes nothing
# that is right already. See --help.
set -eu
umask 022

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
checkout=$(CDPATH='' cd -- "$here/../.." && pwd)
mode='' wheel='' offline='' python='' action=install purge='' start=1 program_only=''

usage() {
  cat <<'TEXT'
Usage: install.sh [--system | --user] [options]
       install.sh [--system | --user] --uninstall [--purge]

Installs kaged, or upgrades the one that is there. As root for the whole host (--system, the default for root), else
for this account (--user). From a checkout it builds what it installs.

  --wheel FILE     install this kaged-*.whl; a requirements.txt beside it names the exact versions of the rest
  --offline DIR    take every package from the wheels in DIR, and nothing from the network
  --python FILE    the Python to use (3.11 or newer)
  --no-start       do not enable or start the service
  --program-only   install the program and the command, and nothing else
  --uninstall      stop kaged and remove the program and the service; data and configuration stay, and are named
  --purge          with --uninstall: remove data, configuration and the account, too
  -h, --help       this text

            --system                       --user
  program   /opt/kaged                     ~/.local/lib/kaged
  command   /usr/local/bin/kaged           ~/.local/bin/kaged
  config    /etc/kaged                     $XDG_CONFIG_HOME/kaged
  data      /var/lib/kaged                 $XDG_DATA_HOME/kaged
  service   kaged.service                  kaged.service of the account, where systemd has one
TEXT
}

say() { printf '%s\n' "$*"; }
fail() {
  printf 'install.sh: %s\n' "$*" >&2
  exit 1
}

while [ $# -gt 0 ]; do
  case $1 in
    --system | --user) mode=${1#--} ;;
    --wheel | --offline | --python)
      [ $# -gt 1 ] || fail "$1 needs a value; see --help"
      case $1 in --wheel) wheel=$2 ;; --offline) offline=$2 ;; *) python=$2 ;; esac
      shift
      ;;
    --no-start) start='' ;;
    --program-only) program_only=1 ;;
    --uninstall) action=uninstall ;;
    --purge) purge=1 ;;
    -h | --help)
      usage
      exit 0
      ;;
    *) fail "there is no option $1; see --help" ;;
  esac
  shift
done
[ -z "$purge" ] || [ "$action" = uninstall ] || fail "--purge goes together with --uninstall"

if [ -z "$mode" ]; then
  mode=user
  [ "$(id -u)" -ne 0 ] || mode=system
fi
if [ "$mode" = system ]; then
  [ "$(id -u)" -eq 0 ] || fail "--system needs root; run it with sudo, or use --user"
  opt=/opt/kaged link=/usr/local/bin/kaged etc=/etc/kaged home=/var/lib/kaged units=/etc/systemd/system run=/run/kaged
  unit_file=$here/systemd/kaged.service
else
  opt=$HOME/.local/lib/kaged link=$HOME/.local/bin/kaged units=${XDG_CONFIG_HOME:-$HOME/.config}/systemd/user
  etc=${XDG_CONFIG_HOME:-$HOME/.config}/kaged home=${XDG_DATA_HOME:-$HOME/.local/share}/kaged
  run=${XDG_RUNTIME_DIR:-$home/run}/kaged
  unit_file=$here/systemd-user/kaged.service
fi

systemd() {
  if [ "$mode" = system ]; then systemctl "$@"; else systemctl --user "$@"; fi
}
has_systemd() {
  [ -d /run/systemd/system ] && [ -f "$unit_file" ] && systemd show-environment >/dev/null 2>&1
}
enabled() { has_systemd && [ -f "$units/kaged.service" ]; }

# --- leave --------------------------------------------------------------------------------------------------------

uninstall() {
  if [ -x "$link" ]; then
    "$link" --mode="$mode" stop 2>/dev/null || : # with everything that runs in cages
  fi
  if enabled; then
    systemd disable --now kaged.service
  fi
  rm -f "$units/kaged.service"
  if has_systemd; then systemd daemon-reload; fi
  case $(readlink "$link" 2>/dev/null) in "$opt"/*) rm -f "$link" ;; esac
  rm -rf "$opt" "$run"
  say "removed $opt, $link and $units/kaged.service"
  if [ -z "$purge" ]; then
    say "left: $home (sessions, audit log, projects) and $etc (configuration)"
    [ "$mode" = user ] || say "left: the account kaged"
    say "to remove these, too: install.sh --$mode --uninstall --purge"
    return
  fi
  rm -rf "$home" "$etc"
  say "removed $home and $etc"
  if [ "$mode" = system ] && id kaged >/dev/null 2>&1; then
    userdel kaged
    say "removed the account kaged"
  fi
}

# --- what the host needs ------------------------------------------------------------------------------------------

packages() {
  missing=''
  for pair in bwrap:bubblewrap rg:ripgrep git:git tar:tar; do
    command -v "${pair%%:*}" >/dev/null 2>&1 || missing="$missing ${pair##*:}"
  done
  [ -n "$missing" ] || return 0
  if [ "$(id -u)" -eq 0 ] && [ -z "$offline" ] && command -v apt-get >/dev/null 2>&1; then
    say "installing$missing"
    apt-get update -qq >/dev/null 2>&1 || :
    # shellcheck disable=SC2086  # one word a package
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null ||
      fail "apt-get could not install$missing"
  else
    fail "kaged needs these packages:$missing; install them and run this again"
  fi
}

good_python() {
  "$1" -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
  if [ -n "$python" ]; then
    good_python "$python" || fail "$python is not a Python 3.11 or newer with the module venv"
    return
  fi
  for python in /usr/bin/python3 /usr/local/bin/python3 python3.14 python3.13 python3.12 python3.11 python3; do
    python=$(command -v "$python" || :)
    if [ -n "$python" ] && good_python "$python"; then return; fi
  done
  fail "there is no Python 3.11 or newer here; install one, or name it with --python"
}

# --- the program --------------------------------------------------------------------------------------------------

uv() {
  if [ -x "$checkout/.cache/tools/bin/uv" ]; then "$checkout/.cache/tools/bin/uv" "$@"; else command uv "$@"; fi
}

build() {
  [ -f "$checkout/pyproject.toml" ] || fail "this is no checkout of kaged; name what to install with --wheel"
  uv --version >/dev/null 2>&1 || fail "building needs uv; run \`make run\` once here, or name a built wheel with --wheel"
  say "building kaged from $checkout"
  uv build -q --wheel --out-dir "$scratch" "$checkout"
  uv export -q --project "$checkout" --locked --no-dev --no-emit-project --output-file "$scratch/requirements.txt" >/dev/null
  wheel=$(find "$scratch" -name 'kaged-*.whl')
}

# A Python with a shared library looks for it where it was built; the copy is to look beside itself.
relocate() {
  "$python" - "$1" "$2" <<'PY'
import pathlib, sys
file, old, new = pathlib.Path(sys.argv[1]), sys.argv[2].encode(), b"$ORIGIN/../lib"
content = file.read_bytes()
if content.count(b"\0" + old + b"\0") == 1 and len(new) <= len(old):
    file.write_bytes(content.replace(b"\0" + old + b"\0", b"\0" + new.ljust(len(old), b"\0") + b"\0"))
PY
  if ldd "$1" | grep -qF "=> $2/"; then
    fail "$python needs a library in $2, which the account kaged cannot reach; name another one with --python"
  fi
}

# An interpreter that other accounts cannot reach (below somebody's home folder) is copied; any other one is linked to
# by a copy of its binary, and its library stays where the system keeps it up to date.
interpreter() {
  base=$("$python" -c 'import sys; print(sys.base_prefix)')
  at=$(readlink -f -- "$base")
  while [ "$at" != / ]; do
    case $(stat -c %A -- "$at") in *[xt]) ;; *) closed=1 ;; esac
    at=$(dirname -- "$at")
  done
  case $base in /root/* | /home/*) closed=1 ;; esac # ProtectHome= hides these from the service
  if [ -z "${closed:-}" ] || [ "$mode" = user ]; then
    "$python" -m venv --copies --without-pip "$new" || fail "$python cannot make an environment"
    return
  fi
  say "copying the interpreter $base, which the account kaged could not reach"
  binary=$("$python" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
  mkdir -p "$new/interpreter/bin" "$new/interpreter/lib"
  cp "$base/bin/$binary" "$new/interpreter/bin/$binary"
  cp -R "$base/lib/$binary" "$new/interpreter/lib/$binary"
  find "$base/lib" -maxdepth 1 -name 'libpython*' -exec cp -P {} "$new/interpreter/lib/" ';'
  relocate "$new/interpreter/bin/$binary" "$base/lib"
  rm -rf "$new/interpreter/lib/$binary/test" "$new/interpreter/lib/$binary/site-packages"
  "$new/interpreter/bin/$binary" -m venv --without-pip "$new" || fail "the copied interpreter does not run"
}

pip() {
  if uv --version >/dev/null 2>&1; then
    uv pip install -q --python "$new/bin/python" --compile-bytecode ${offline:+--offline --no-index --find-links "$offline"} "$@"
  else
    [ -x "$scratch/pip/bin/pip" ] || "$python" -m venv "$scratch/pip" >/dev/null ||
      fail "installing needs uv or the module ensurepip; on Debian: apt-get install python3-venv"
    "$scratch/pip/bin/pip" --python "$new/bin/python" install -q --disable-pip-version-check --no-cache-dir \
      ${offline:+--no-index --find-links "$offline"} "$@"
  fi
}

program() {
  [ -n "$wheel" ] || build
  [ -f "$wheel" ] || fail "there is no file $wheel"
  case ${wheel##*/} in kaged-*.whl) ;; *) fail "$wheel is not a wheel of kaged (kaged-*.whl)" ;; esac
  digest=$(sha256sum "$wheel" | cut -c1-12)
  version=$(printf '%s' "${wheel##*/}" | cut -d- -f2)
  name=$version-$digest-$("$python" -c 'import sys; print("py%d.%d" % sys.version_info[:2])')
  target=$opt/versions/$name
  mkdir -p "$opt/versions"
  if [ -x "$target/bin/kaged" ] && [ -f "$target/whole" ]; then
    say "kaged $version is installed already"
    return
  fi
  new=$target
  rm -rf "$new"
  say "installing kaged $version into $new"
  interpreter
  locked=$(dirname -- "$wheel")/requirements.txt
  if [ -f "$locked" ]; then
    pip --require-hashes -r "$locked"
    pip --no-deps "$wheel"
  else
    pip "$wheel"
  fi
  "$new/bin/kaged" version >/dev/null || fail "the installed kaged does not run"
  : >"$new/whole"
}

# The switch is one rename: there is never a moment without a whole kaged.
switch() {
  previous=$(readlink "$opt/current" || :)
  ln -sfn "versions/$name" "$opt/next"
  mv -fT "$opt/next" "$opt/current"
  mkdir -p "$(dirname -- "$link")"
  if [ -e "$link" ] && [ ! -L "$link" ]; then fail "$link is not ours; move it away"; fi
  ln -sfn "$opt/current/bin/kaged" "$link"
}

# Versions stay while they are the current or the last one, or anything of them still runs.
tidy() {
  for old in "$opt"/versions/*; do
    case versions/${old##*/} in "versions/$name" | "${previous:-}") continue ;; esac
    grep -qsF "$old/" /proc/[0-9]*/cmdline || rm -rf "$old"
  done
}

# --- account, configuration, service ------------------------------------------------------------------------------

config_text() {
  cat <<'TOML'
[daemon]
bind = "127.0.0.1:7777"
home = "/var/lib/kaged"
[auth]
mode = "secure"
[storage]
url = "sqlite:///var/lib/kaged/kaged.db"
[sandbox]
mode = "enabled"
default_seccomp = "default"
[logging]
operational = "stderr"
audit = "file:/var/lib/kaged/audit.log"
level = "info"
[plugins]
dir = "/var/lib/kaged/plugins"
enabled = []
[ui]
serve = true
TOML
}

account() {
  if ! id kaged >/dev/null 2>&1; then
    useradd --system --home-dir /var/lib/kaged --shell /usr/sbin/nologin kaged
    say "made the account kaged"
  fi
  if [ ! -d "$home" ]; then install -d -m 0700 -o kaged -g kaged "$home"; fi
  # kaged writes local.toml there; thanks to the sticky bit it cannot replace what belongs to root. Sidecars look in, too.
  if [ ! -d "$etc" ]; then install -d -m 1775 -o root -g kaged "$etc"; fi
  # -C: a new file or none, so that no link which the account may have put there is ever followed.
  if [ ! -e "$etc/config.toml" ]; then
    (set -C && config_text >"$etc/config.toml") || fail "$etc/config.toml cannot be made; remove what is in its place"
    say "wrote $etc/config.toml"
  fi
  if [ ! -e "$etc/env" ]; then
    nonce=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')
    (set -C && umask 077 && printf 'KAGED_AUTH_SIDECAR_NONCE=%s\n' "$nonce" >"$etc/env") ||
      fail "$etc/env cannot be made; remove what is in its place"
    chown -h kaged:kaged "$etc/env"
    say "wrote $etc/env with a fresh nonce"
  fi
}

as_kaged() {
  if [ "$mode" = system ]; then runuser -u kaged -- "$@"; else "$@"; fi
}

# A new schema has no way back, so what was there before it is kept.
keep_a_copy() {
  [ -f "$home/kaged.db" ] || return 0
  case $("$link" --mode="$mode" db migrate --dry-run 2>/dev/null) in
    *"would apply"*)
      copy=$home/backups/before-$name-$(date -u +%Y%m%dT%H%M%SZ).tar.gz
      say "this version changes the database; a backup of before goes to $copy"
      as_kaged mkdir -p -m 0700 "$home/backups"
      as_kaged "$link" --mode="$mode" db backup --secrets --no-projects "$copy" >/dev/null 2>&1 ||
        fail "the backup failed; see: kaged db backup $copy"
      ;;
  esac
}

back() {
  case ${previous:-} in '' | "versions/$name") fail "kaged does not start; see: journalctl -u kaged" ;; esac
  ln -sfn "$previous" "$opt/next"
  mv -fT "$opt/next" "$opt/current"
  systemd restart kaged.service || :
  fail "the new kaged does not start, so the one before is back; see: journalctl -u kaged${copy:+ (its database is in $copy)}"
}

service() {
  if ! has_systemd; then
    say "there is no systemd here for this; start kaged with: kaged start --mode=$mode"
    return
  fi
  mkdir -p "$units"
  if ! cmp -s "$unit_file" "$units/kaged.service"; then
    cp "$unit_file" "$units/kaged.service"
    chmod 0644 "$units/kaged.service"
    say "wrote $units/kaged.service"
  fi
  systemd daemon-reload
  [ -n "$start" ] || return 0
  systemd enable -q kaged.service
  if systemd is-active -q kaged.service && [ "$previous" = "versions/$name" ]; then
    say "kaged runs already"
    return
  fi
  # The unit is of Type=notify or not: the control socket tells in both cases when it is ready.
  systemd restart kaged.service || back
  tries=0
  until "$link" --mode="$mode" status >/dev/null 2>&1; do
    tries=$((tries + 1))
    [ "$tries" -lt 60 ] || back
    sleep 0.5
  done
  say "kaged $version runs"
}

if [ "$action" = uninstall ]; then
  uninstall
  exit 0
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
packages
find_python
program
previous=''
switch
if [ -z "$program_only" ]; then
  if [ "$mode" = system ]; then account; fi
  keep_a_copy
  service
fi
tidy
say "done: $("$link" --mode="$mode" version | head -n 1), $link"
