"""A scratch machine: a minimal Debian, or this machine's own system where that cannot be had, under an overlay that is
thrown away, with systemd as its PID 1 and a network of its own (systemd-nspawn). What is installed there never reaches
this machine."""

import contextlib
import fcntl
import functools
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache"
CHECKOUT, WHEELS = "/srv/kaged", "/srv/wheels"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PACKAGES = (
    "systemd-sysv", "dbus", "libpam-systemd", "python3", "python3-venv", "bubblewrap", "nftables", "sudo", "curl",
    "openssl", "ca-certificates", "git", "iproute2", "procps", "ripgrep",
)  # fmt: skip
"""What the guide and its tests use of a Debian; kaged itself needs the interpreter, bubblewrap and nftables."""
BUILD_S, AGAIN_S = 150, 900
LOCK = (ROOT / "uv.lock").read_bytes()

sys.path.insert(0, str(ROOT / "scripts"))
import bootstrap  # noqa: E402


@functools.cache
def why_not() -> str | None:
    """Why this machine cannot have one, or None."""
    if os.geteuid() != 0:
        return "a machine of its own needs root"
    missing = [p for p in ("systemd-nspawn", "unshare", "nsenter", "bwrap", "useradd") if shutil.which(p) is None]
    if missing:
        return f"{', '.join(missing)} not installed"
    if python() is None:
        return "there is no Python 3.11 or newer in /usr"
    if uv() is None:
        return "uv is not installed"
    try:
        with tempfile.TemporaryDirectory(prefix="kg-", dir="/tmp") as name, machine(Path(name)):
            return None
    except AssertionError as error:
        return f"{error}"


def uv() -> str | None:
    """The uv that `make` uses, too."""
    return bootstrap.tool("uv")


@functools.cache
def debian() -> tuple[Path | None, str]:
    """A minimal Debian of this machine's own release, from the mirror that its apt uses, and the release; kept between
    runs. Else None, and why there is none."""
    release = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
    code = release.get("VERSION_CODENAME", "").strip('"')
    if release.get("ID") != "debian" or shutil.which("mmdebstrap") is None:
        return None, "mmdebstrap is not installed, or this is no Debian"
    targets = ["apt-get", "indextargets", "--format", "$(ORIGIN) $(CODENAME) $(COMPONENT) $(REPO_URI)"]
    listed = subprocess.run(targets, capture_output=True, text=True, check=False).stdout.split("\n")
    mirrors = [line.split()[3] for line in listed if line.startswith(f"Debian {code} main ")]
    if not mirrors:
        return None, f"apt has no list of Debian {code}; run apt-get update"
    digest = hashlib.sha256(" ".join((code, *PACKAGES)).encode()).hexdigest()[:16]
    folder = CACHE / f"debian-{code}-{digest}"
    with (CACHE / "debian.lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one of several test runs makes it, and says it to the others if it cannot
        lock.seek(0)
        when, _, problem = lock.read().partition(" ")
        if not folder.exists() and not (when and time.time() - float(when) < AGAIN_S):
            problem = _make_debian(folder, code, mirrors[0])
            lock.truncate(0)
            lock.write(f"{time.time()} {problem}" if problem else "")
    return (folder, code) if folder.exists() else (None, problem)


def _make_debian(folder: Path, code: str, mirror: str) -> str:
    """Make it; nothing, or why that failed."""
    left_out = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("man", "doc", "locale")]
    with tempfile.TemporaryDirectory(dir=CACHE, prefix="making-") as name:
        root = Path(name) / "root"
        # In namespaces that end with it: what it mounts and starts never outlives it.
        command = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        command += ["mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", "--format=directory", *left_out]
        command += [f"--include={','.join(PACKAGES)}", code, str(root), f"deb {mirror} {code} main"]
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=BUILD_S)
        except subprocess.TimeoutExpired:
            return f"to make a minimal Debian took more than {BUILD_S} seconds"
        if done.returncode != 0:
            return f"mmdebstrap failed: {' '.join(done.stderr.split())[-300:]}"
        root.rename(folder)
    return ""


@functools.cache
def python() -> str | None:
    """A Python here that is the one which install.sh takes in the scratch machine, or like it."""
    base, _ = debian()
    if base is not None:
        (name,) = (path.name for path in (base / "usr/bin").glob("python3.[0-9]*[0-9]"))
        return shutil.which(name, path=PATH) or shutil.which(name)
    for name in ("/usr/bin/python3", "/usr/local/bin/python3"):
        test = [name, "-c", "import sys, venv; sys.exit(sys.version_info < (3, 11))"]
        if Path(name).exists() and subprocess.run(test, capture_output=True, check=False).returncode == 0:
            return name
    return None


def tool(*arguments: str) -> None:
    """Run uv; its words on failure."""
    done = subprocess.run([uv() or "uv", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"uv {' '.join(arguments)}: {done.stdout[-2000:]}{done.stderr[-2000:]}"


def dependencies(interpreter: str) -> Path:
    """A folder with the locked packages as wheels for that Python, and requirements.txt; filled once a lock file."""
    shown = subprocess.run([interpreter, "-V"], capture_output=True, text=True, check=True).stdout.split()[1]
    folder = CACHE / f"wheels-{'.'.join(shown.split('.')[:2])}-{hashlib.sha256(LOCK).hexdigest()[:16]}"
    if not (folder / "whole").exists():
        with tempfile.TemporaryDirectory(dir=CACHE, prefix="wheels-") as name:
            locked = f"{name}/requirements.txt"
            tool("export", "-q", "--locked", "--no-dev", "--no-emit-project", "-o", locked)
            pip = ["tool", "run", "-q", "--python", interpreter, "pip", "download", "-q", "-d", name, "-r", locked]
            tool(*pip, "--require-hashes", "--only-binary=:all:")
            (Path(name) / "whole").touch()
            with contextlib.suppress(OSError):  # somebody else was quicker
                Path(name).rename(folder)
                Path(name).mkdir()
    return folder


def version(source: Path = ROOT) -> str:
    """The version that a checkout builds."""
    return str(tomllib.loads((source / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"])


def wheel(into: Path, source: Path = ROOT) -> Path:
    """Build the wheel of a checkout into the folder `into`."""
    tool("build", "-q", "--wheel", "--out-dir", str(into), str(source))
    return into / f"kaged-{version(source)}-py3-none-any.whl"


def _layers(base: Path, lower: Path) -> str:
    return (
        f"mount -t tmpfs -o mode=755 tmpfs {base}\n"
        f"mkdir {base}/upper {base}/work {base}/root\n"
        f"mount -t overlay overlay -o lowerdir={lower},upperdir={base}/upper,workdir={base}/work {base}/root\n"
    )


_TARGET = "[Unit]\nRequires=basic.target\nAfter=basic.target\nAllowIsolate=yes\n"
_SUDO = '#!/bin/sh\n[ "$(id -u)" = 0 ] || { echo "sudo: not root" >&2; exit 1; }\nexec "$@"\n'
_PREPARE = f"""\
cd ROOT
printf '' > etc/machine-id
echo '127.0.0.1 localhost scratch' > etc/hosts
rm -rf etc/kaged var/lib/kaged opt/kaged usr/local/bin/kaged srv/kaged srv/wheels
chroot . userdel kaged 2>/dev/null || :
mkdir -p etc/systemd/system srv/kaged srv/wheels
printf '%s' '{_TARGET}' > etc/systemd/system/scratch.target
[ -x usr/bin/sudo ] || {{ printf '%s' '{_SUDO}' > usr/local/bin/sudo; chmod 755 usr/local/bin/sudo; }}
"""


@dataclass
class Machine:
    """A running scratch machine."""

    nspawn: subprocess.Popen[bytes]
    leader: int = 0

    @property
    def root(self) -> Path:
        """Its file system, as seen from here."""
        return Path("/proc", str(self.leader), "root")

    def enter(self, *command: str, account: str = "root") -> list[str]:
        """The command that runs `command` there, with the environment of a login shell of `account`."""
        inside = ["nsenter", "--all", "--target", str(self.leader), "--"]
        env = ["env", "-i", f"PATH={PATH}", "LANG=C.UTF-8", f"USER={account}"]
        word = 'HOME=$(getent passwd "$USER" | cut -d: -f6); export HOME; exec "$@"'
        if account != "root":
            word = f'XDG_RUNTIME_DIR=/run/user/$(id -u "$USER"); export XDG_RUNTIME_DIR; {word}'
            word = word.replace('exec "$@"', 'exec setpriv --reuid="$USER" --regid="$USER" --init-groups -- "$@"')
        return [*inside, *env, "sh", "-c", word, "sh", *command]

    def run(self, script: str, *, account: str = "root", timeout: float = 240, ok: bool = True) -> str:
        """Run a shell script there in the checkout with umask 022; what it printed. Fails when it does, unless not
        `ok`."""
        text = f"umask 022; cd {CHECKOUT}\nset -e\n{script}"
        done = subprocess.run(
            self.enter("sh", "-c", text, account=account),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0 or not ok, f"{script}\n→ {done.returncode}\n{done.stdout}{self.journal()}"
        return done.stdout

    def journal(self) -> str:
        """The last words of the service."""
        return self.run("journalctl -q -u kaged --no-pager -n 40 -o cat", ok=False)

    def write(self, path: str, text: str) -> None:
        """Write a file there as root's editor would."""
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


def _boot(machine: Machine) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and machine.nspawn.poll() is None:
        children = Path(f"/proc/{machine.nspawn.pid}/task/{machine.nspawn.pid}/children").read_text().split()
        for child in map(int, children):
            machine.leader = child
            asked = subprocess.run(
                machine.enter("systemctl", "is-system-running", "--wait"), capture_output=True, text=True, check=False
            )
            if asked.stdout.strip() in ("running", "degraded"):
                return
        time.sleep(0.05)  # nspawn offers no event to wait for
    raise AssertionError("the scratch machine did not boot")


@contextlib.contextmanager
def machine(wheels: Path, *, own: bool = False) -> Iterator[Machine]:
    """Boot one with the folder `wheels` in it; everything of it ends afterwards. `own` has this machine's system in any
    case."""
    lower = Path("/") if own else debian()[0] or Path("/")
    with tempfile.TemporaryDirectory(prefix="kg-", dir="/tmp") as name:
        base = Path(name)
        script = [
            "set -e",
            _layers(base, lower),
            _PREPARE.replace("ROOT", f"{base}/root"),
            f"exec systemd-nspawn --quiet --register=no --keep-unit --private-network --console=pipe "
            f"--machine=kg{base.name.encode().hex()[-16:]} --hostname=scratch -D {base}/root "
            f"--bind-ro={ROOT}:{CHECKOUT} --bind-ro={wheels}:{WHEELS} -b systemd.unit=scratch.target",
        ]
        with (base / "console").open("wb") as console:
            process = subprocess.Popen(
                ["unshare", "--mount", "--propagation", "private", "sh", "-c", "\n".join(script)],
                stdin=subprocess.DEVNULL, stdout=console, stderr=console,
            )  # fmt: skip
        it = Machine(process)
        try:
            _boot(it)
            yield it
        except AssertionError as error:
            said = (base / "console").read_bytes()[-2000:].decode(errors="replace")
            raise AssertionError(f"{error}\nconsole: {said}") from None
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(20)
