"""A real daemon in a folder of its own: start it, talk to it, kill it, find everything it left."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from e2e.front import Front
from e2e.zygote import Forked, Zygote

FRONT: Front | None = None
"""What each daemon in user mode stands behind, if anything (see `SUBPATH`)."""
ROOT = Path(__file__).resolve().parents[2]
READY = re.compile(r"^kaged \S+ is ready$")
LAUNCH = re.compile(r"http://\S+/launch\?token=\S+")


def _environment(base: Path) -> dict[str, str]:
    keep = {name: os.environ[name] for name in ("PATH", "LANG", "TERM") if name in os.environ}
    return {
        **keep,
        "HOME": str(base / "user"),
        "XDG_CONFIG_HOME": str(base / "c"),
        "XDG_DATA_HOME": str(base / "d"),
        "XDG_RUNTIME_DIR": str(base / "r"),
        "PYTHONPATH": str(ROOT / "src"),
    }


@dataclass
class Daemon:
    """One home, started as often as a test likes. `base` must be short (unix socket names)."""

    base: Path
    extra: Mapping[str, str] = field(default_factory=dict)
    flags: tuple[str, ...] = ("--mode=user",)
    prefix: tuple[str, ...] = ()
    module: str = "kaged.daemon"
    only: Mapping[str, str] | None = None
    """The whole environment, in place of the usual one with `extra`."""
    apart: int = 0
    """A process that is not the daemon's although it has to do with this folder."""
    zygote: Zygote | None = None
    process: subprocess.Popen[str] | Forked | None = None
    launch_url: str = ""
    port: int = 0
    door: str = ""
    """Its address behind the front."""
    output: list[str] = field(default_factory=list)

    @property
    def env(self) -> dict[str, str]:
        """The environment of the daemon and of the CLI that talks to it."""
        if self.only is not None:
            return dict(self.only)
        for name in ("user", "c", "d", "r"):
            (self.base / name).mkdir(mode=0o700, exist_ok=True, parents=True)
        if FRONT is not None and not self.door and "--mode=user" in self.flags:
            self.door = FRONT.open(lambda: self.port)
        public = {"KAGED_PUBLIC_URL": self.door} if self.door else {}
        return {**_environment(self.base), **public, **self.extra}

    @property
    def home(self) -> Path:
        return self.base / "d" / "kaged"

    @property
    def runtime(self) -> Path:
        return self.base / "r" / "kaged"

    @property
    def config_dir(self) -> Path:
        return self.base / "c" / "kaged"

    @property
    def url(self) -> str:
        """Where browsers have it, without a slash at the end."""
        return self.door or f"http://127.0.0.1:{self.port}"

    @property
    def origin(self) -> str:
        return "/".join(self.url.split("/")[:3])

    def outside(self, launch_url: str) -> str:
        """A launch URL, which names the daemon's own address, as one opens it from outside."""
        return f"{self.url}/{launch_url.strip().partition('://')[2].partition('/')[2]}"

    def start(self, *, port: int | None = 0) -> "Daemon":
        """Start and wait for the ready block; raises with the output when it does not come."""
        bind = () if port is None else (f"--bind=127.0.0.1:{port}",)
        self.process = self.spawn(*self.flags, *bind)
        return self.wait_ready()

    def wait_ready(self) -> "Daemon":
        """Read up to the end of the next ready block: of a start, or of one that kaged makes by itself."""
        assert self.process is not None and self.process.stderr is not None
        seen_ready = False
        for line in self.process.stderr:
            self.output.append(line)
            seen_ready = seen_ready or READY.match(line.rstrip()) is not None
            if found := LAUNCH.search(line):
                self.port = int(found[0].split("/")[2].rpartition(":")[2])
                self.launch_url = self.outside(found[0])
            if seen_ready and line.split()[:1] == ["stop"]:
                return self
        code = self.reap()
        raise AssertionError(f"the daemon did not start (exit {code}):\n{''.join(self.output)}")

    def spawn(self, *arguments: str) -> subprocess.Popen[str] | Forked:
        """The daemon's process, without waiting for anything."""
        if self.zygote is not None:
            return self.zygote.start(arguments, self.env)
        return subprocess.Popen(
            [*self.prefix, sys.executable, "-m", self.module, *arguments],
            env=self.env,
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            text=True,
        )

    def refused(self, *arguments: str) -> tuple[int, str]:
        """A start that must not come to serve: exit code and everything it said."""
        process = self.spawn(*self.flags, *arguments)
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line)
            if READY.match(line.rstrip()):
                process.kill()
        process.stderr.close()
        code = process.wait(30)
        text = "".join(lines)
        assert code != -signal.SIGKILL, f"it started:\n{text}"
        return code, text

    def kill(self) -> None:
        """kill -9: the daemon only, never the keeper."""
        assert self.process is not None
        self.process.kill()
        self.reap()

    def stop(self, how: signal.Signals = signal.SIGINT) -> int:
        """Ctrl-C (or another signal) and wait for the end."""
        assert self.process is not None
        self.process.send_signal(how)
        return self.reap()

    def reap(self) -> int:
        """Wait for the daemon's end; its exit code."""
        assert self.process is not None and self.process.stderr is not None
        self.output += self.process.stderr.readlines()
        self.process.stderr.close()
        code = self.process.wait(30)
        self.process = None
        return code

    def cli(self, *arguments: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Run `kaged …` against this home."""
        return subprocess.run(
            [sys.executable, "-m", "kaged.cli", *arguments],
            env=self.env,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def api(self) -> httpx2.Client:
        """A client on the control socket: an admin, no cookies."""
        transport = httpx2.HTTPTransport(uds=str(self.runtime / "control.sock"), verify=False)
        return httpx2.Client(transport=transport, base_url="http://127.0.0.1", timeout=30)

    def processes(self) -> list[str]:
        """`PID command line` of every live process that has to do with this home.

        Found by arguments, environment, or (inside a cage, where both are clean) by the mounts.
        """
        ours = Path("/proc/self/ns/mnt").readlink()
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) in (os.getpid(), self.apart):
                continue
            with contextlib.suppress(OSError):
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                if line and (str(self.base) in line or self._within(entry, ours)):
                    found.append(f"{entry.name} {line}")
        return found

    def _within(self, entry: Path, ours: Path) -> bool:
        base = os.fsencode(self.base)
        if base in (entry / "environ").read_bytes():
            return True
        mounts = (entry / "mountinfo").read_bytes() if (entry / "ns" / "mnt").readlink() != ours else b""
        return b"/" + os.fsencode(self.base.name) + b"/" in mounts


@contextlib.contextmanager
def daemon(base: Path, *, port: int | None = 0, **options: Any) -> Iterator[Daemon]:
    """A started daemon; everything it started is ended afterwards, keeper included."""
    it = Daemon(base, **options)
    try:
        yield it.start(port=port)
    finally:
        if it.process is not None:
            it.stop() if it.process.poll() is None else it.reap()
        end_keeper(it)


def end_keeper(it: Daemon) -> None:
    """End a keeper that outlived its daemon, as `kaged stop` would."""
    for line in it.processes():
        if "/keeper/main.py --socket" in line:  # and not whoever only names the keeper's socket
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(line.split()[0]), signal.SIGTERM)
    try:
        until(lambda: not it.processes(), "the keeper's end")
    except AssertionError as error:
        raise AssertionError(f"{error}: {it.processes()}") from None


def until(check: Any, what: str, *, seconds: float = 60.0) -> Any:
    """Poll what offers no event of its own; the first true value, or a failure naming what did not come."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := check():
            return value
        time.sleep(0.02)
    raise AssertionError(f"gave up waiting for {what} after {seconds:.0f} s")


def events(client: httpx2.Client, project: str, session: str, after: int = 0) -> list[dict[str, Any]]:
    """All events of a session, page by page."""
    found: list[dict[str, Any]] = []
    while True:
        page = client.get(
            f"/api/v1/projects/{project}/sessions/{session}/events", params={"after": after, "limit": 1000}
        ).json()
        if not page["items"]:
            return found
        found += page["items"]
        after = page["next"]


def wait_event(
    client: httpx2.Client, project: str, session: str, kind: str, after: int = 0, *, seconds: float = 60
) -> dict[str, Any]:
    """The first event of `kind` after `after`, waiting for it on the server's side."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        page = client.get(
            f"/api/v1/projects/{project}/sessions/{session}/events", params={"after": after, "wait": 10}
        ).json()
        for item in page["items"]:
            if item["type"] == kind:
                return dict(item)
        after = page["next"]
    raise AssertionError(f"no {kind} event came; last number {after}\n{json.dumps(page)[:500]}")
