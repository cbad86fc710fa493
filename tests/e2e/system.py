"""System mode as the guide sets it up, in mount and network namespaces of its own.

`/etc` is a copy with an account `kaged` in it, `/var/lib` and `/run` are empty, the network is a loopback
interface: the daemon finds everything under the guide's own paths, and nothing of this machine changes.
"""

import contextlib
import ctypes
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx2

from e2e.harness import ROOT, Daemon, end_keeper

T = TypeVar("T")
CLONE_NEWNET = 0x40000000
ORIGIN = "http://127.0.0.1:7777"

GUIDE = """\
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
"""
"""The guide's config.toml, byte for byte."""


def why_not() -> str | None:
    """Why this machine cannot have it, or None."""
    if os.geteuid() != 0:
        return "namespaces with other accounts in them need root"
    missing = [p for p in ("unshare", "nsenter", "setpriv", "useradd", "ip") if shutil.which(p) is None]
    if missing:
        return f"{', '.join(missing)} not installed"
    tried = subprocess.run(["unshare", "--mount", "--net", "true"], capture_output=True, check=False)
    return None if tried.returncode == 0 else "this root may not make namespaces"


@dataclass
class Host:
    """A host for system mode: the namespaces, kept by one idle process."""

    base: Path
    idle: subprocess.Popen[bytes]

    @property
    def root(self) -> Path:
        """Its file system, as seen from here."""
        return Path("/proc", str(self.idle.pid), "root")

    def enter(self, *command: str, account: str = "root") -> list[str]:
        """The command that runs `command` there."""
        inside = ["nsenter", "--mount", "--net", "--target", str(self.idle.pid), "--"]
        if account != "root":
            inside += ["setpriv", f"--reuid={account}", f"--regid={account}", "--init-groups"]
            inside += ["--inh-caps=-all", "--no-new-privs"]
        return [*inside, *command]

    def run(self, *command: str, account: str = "root", **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a command there to its end."""
        env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "src"), "HOME": "/var/lib/kaged"}
        return subprocess.run(
            self.enter(*command, account=account), capture_output=True, text=True, check=False, env=env, **options
        )

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`kaged --mode=system …` as root of that host."""
        return self.run(sys.executable, "-m", "kaged.cli", "--mode=system", *arguments, timeout=60)

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file of the account `kaged` there."""
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        file.chmod(mode)
        self.run("chown", "-R", "kaged:kaged", path)

    def call(self, work: Callable[[], T]) -> T:
        """Do `work` in a thread that is in that host's network."""
        libc = ctypes.CDLL(None, use_errno=True)

        def enter() -> None:
            with (Path("/proc") / str(self.idle.pid) / "ns" / "net").open("rb") as there:
                if libc.setns(there.fileno(), CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), "setns")

        with ThreadPoolExecutor(1, initializer=enter) as thread:
            return thread.submit(work).result()

    def http(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """One request over TCP to the daemon there."""

        def work() -> httpx2.Response:
            with httpx2.Client(base_url=ORIGIN, timeout=30, verify=False) as client:
                return client.request(method, path, **options)

        return self.call(work)

    def daemon(self, nonce: str | None) -> Daemon:
        """The daemon as the guide's unit starts it, not started yet."""
        return Daemon(
            self.base,
            flags=("start", "--mode=system", "--config", "/etc/kaged/config.toml"),
            module="kaged.cli",
            prefix=tuple(self.enter(account="kaged")),
            apart=self.idle.pid,
            only={
                "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "LANG": "C.UTF-8",
                "HOME": "/var/lib/kaged",
                "USER": "kaged",
                "RUNTIME_DIRECTORY": "/run/kaged",
                "PYTHONPATH": str(ROOT / "src"),
                **({} if nonce is None else {"KAGED_AUTH_SIDECAR_NONCE": nonce}),
            },
        )


@contextlib.contextmanager
def host(base: Path) -> Iterator[Host]:
    """A host as after steps 1 and 2 of the guide, without the daemon; everything of it ends afterwards."""
    shutil.copytree("/etc", base / "etc", symlinks=True, ignore_dangling_symlinks=True)
    script = [
        "set -e",
        "ip link set lo up",
        f"mount --bind {base}/etc /etc",
        *_passable(base, [Path(sys.executable), ROOT]),
        "mount -t tmpfs -o mode=755 tmpfs /var/lib",
        "mount -t tmpfs -o mode=755 tmpfs /run",
        "id -u kaged >/dev/null 2>&1 || useradd --system --home-dir /var/lib/kaged --shell /usr/sbin/nologin kaged",
        "mkdir -p /var/lib/kaged /run/kaged /etc/kaged",
        "chown kaged:kaged /var/lib/kaged /run/kaged",
        "echo made",
        "read -r end",
    ]
    process = subprocess.Popen(
        ["unshare", "--mount", "--net", "sh", "-c", "\n".join(script)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None and process.stdout is not None
    try:
        assert process.stdout.readline() == b"made\n", "the host could not be made"
        it = Host(base, process)
        it.write("/etc/kaged/config.toml", GUIDE)
        yield it
    finally:
        end_keeper(Daemon(base, apart=process.pid))
        process.stdin.close()
        process.stdout.close()
        process.wait(30)


def _passable(base: Path, wanted: list[Path]) -> list[str]:
    """Commands that let every account reach `wanted`, where a closed folder is on the way."""
    lines: list[str] = []
    seen: set[Path] = set()
    for path in {place for given in wanted for place in (given.absolute(), given.resolve())}:
        closed = next((p for p in reversed(path.parents) if not p.stat().st_mode & 0o001), None)
        if closed is None or closed in seen:
            continue
        seen.add(closed)
        aside, place = base / f"aside-{len(seen)}", closed / path.relative_to(closed).parts[0]
        aside.mkdir()
        lines += [
            f"mount --rbind {shlex.quote(str(place))} {aside}",
            f"mount -t tmpfs -o mode=755 tmpfs {shlex.quote(str(closed))}",
            f"mkdir {shlex.quote(str(place))}",
            f"mount --rbind {aside} {shlex.quote(str(place))}",
        ]
    return lines
