"""Daemons forked from a process that has imported kaged already: the same, in a third of the time.

For tests that start it dozens of times. `Zygote.start` has the form of `subprocess.Popen`, as the harness
uses it.
"""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, NoReturn, Self

SOURCE = Path(__file__).resolve().parents[2] / "src"


class Forked:
    """One forked daemon. It is no child of this process: it writes its exit code to a pipe."""

    def __init__(self, pid: int, stderr: IO[str], code: int, handle: int) -> None:
        self.pid = pid
        self.stderr = stderr
        self._code = code
        self._handle = handle

    def poll(self) -> int | None:
        """None while it runs."""
        return 0 if select.select([self._handle], [], [], 0)[0] else None

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end; the exit code, or -9 when it did not come to say one."""
        if not select.select([self._handle], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired("kaged.daemon", timeout or 0)
        code = os.read(self._code, 16)
        os.close(self._handle)
        os.close(self._code)
        return int(code) if code else -signal.SIGKILL

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
        errors, stderr = os.pipe()
        ended, code = os.pipe()
        order = json.dumps({"argv": list(arguments), "env": dict(env)}).encode()
        socket.send_fds(self._ours, [order], [stderr, code])
        os.close(stderr)
        os.close(code)
        pid, handles, _, _ = socket.recv_fds(self._ours, 64, 1)
        assert pid, "the zygote died"
        return Forked(int(pid), os.fdopen(errors, encoding="utf-8"), ended, *handles)


def _child(order: bytes, stderr: int) -> None:
    from kaged.daemon.main import main

    wanted = json.loads(order)
    os.dup2(stderr, 2)
    os.close(stderr)
    os.environ.clear()
    os.environ.update(wanted["env"])
    sys.argv = ["kaged.daemon", *wanted["argv"]]
    if path := wanted["env"].get("DIES_AT"):
        import failpoints  # beside this file

        failpoints.arm(path)
    main()


def _serve(control: socket.socket) -> None:
    import gc

    import uvloop  # noqa: F401  (the daemon imports these late)

    import kaged.daemon.main  # noqa: F401

    gc.freeze()
    while True:
        order, descriptors, _, _ = socket.recv_fds(control, 64 * 1024, 2)
        if not order:
            return
        pid = os.fork()
        if pid == 0:
            control.close()
            _end(order, *descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        handle = os.pidfd_open(pid)  # before it is reaped: it may have ended already
        socket.send_fds(control, [str(pid).encode()], [handle])
        os.close(handle)
        _reap()


def _reap() -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            continue


def _end(order: bytes, stderr: int, code: int) -> NoReturn:
    os.set_inheritable(code, False)
    status = 1
    try:
        _child(order, stderr)
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        os.write(code, str(status).encode())
        os._exit(status)


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
