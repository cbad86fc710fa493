"""Daemons forked from a process that has imported kaged already: the same, in a third of the time.

For tests that start it dozens of times. `Zygote.start` has the form of `subprocess.Popen`, as the harness
uses it.
"""

import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Self

SOURCE = Path(__file__).resolve().parents[2] / "src"


class Forked:
    """One forked daemon. It is no child of this process, so its exit code is not known."""

    def __init__(self, pid: int, stderr: IO[str]) -> None:
        self.pid = pid
        self.stderr = stderr
        self._handle = os.pidfd_open(pid)

    def poll(self) -> int | None:
        """None while it runs."""
        return 0 if select.select([self._handle], [], [], 0)[0] else None

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end; 0 whatever the exit code was."""
        if not select.select([self._handle], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired("kaged.daemon", timeout or 0)
        os.close(self._handle)
        return 0

    def send_signal(self, number: signal.Signals) -> None:
        """To the daemon only."""
        signal.pidfd_send_signal(self._handle, number)

    def kill(self) -> None:
        """kill -9."""
        self.send_signal(signal.SIGKILL)


class Zygote:
    """Use as a context manager; what it forked outlives it."""

    def __enter__(self) -> Self:
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(theirs.fileno())],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCE)},
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
        )
        theirs.close()
        return self

    def __exit__(self, *exc: object) -> None:
        self._ours.close()
        self._process.wait(30)

    def start(self, arguments: Sequence[str], env: Mapping[str, str]) -> Forked:
        """Fork a daemon with these arguments and exactly this environment."""
        reading, writing = os.pipe()
        order = json.dumps({"argv": list(arguments), "env": dict(env)}).encode()
        socket.send_fds(self._ours, [order], [writing])
        os.close(writing)
        pid = int(self._ours.recv(64) or b"0")
        assert pid, "the zygote died"
        return Forked(pid, os.fdopen(reading, encoding="utf-8"))


def _child(order: bytes, stderr: int, control: socket.socket) -> None:
    from kaged.daemon.main import main

    wanted = json.loads(order)
    control.close()
    os.dup2(stderr, 2)
    os.close(stderr)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.environ.clear()
    os.environ.update(wanted["env"])
    sys.argv = ["kaged.daemon", *wanted["argv"]]
    main()


def _serve(control: socket.socket) -> None:
    import gc

    import uvloop  # noqa: F401  (the daemon imports these late)

    import kaged.daemon.main  # noqa: F401

    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        order, descriptors, _, _ = socket.recv_fds(control, 64 * 1024, 1)
        if not order:
            return
        pid = os.fork()
        if pid == 0:
            try:
                _child(order, descriptors[0], control)
            except SystemExit as end:
                os._exit(end.code if isinstance(end.code, int) else 1)
            os._exit(0)
        os.close(descriptors[0])
        control.send(str(pid).encode())


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
