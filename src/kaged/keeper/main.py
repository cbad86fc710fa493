"""Start of the keeper: `python -I -S …/kaged/keeper/main.py --socket PATH --grace SECONDS --site DIR`. `--site` is
where the gate finds its libraries. Tests also give `--gate FILE`, `--nft PATH` (empty: without), `--limits rlimits`.
Detaches; says `ready PID` once the socket takes connections, or `running` when another keeper holds it."""

import contextlib
import fcntl
import getopt
import os
import socket
import sys
import time
from collections.abc import Mapping, Sequence

_LOOK_AGAIN_S = 0.02


def main(argv: Sequence[str]) -> int:
    """Be the keeper, in a process of its own; returns at once in the process that called."""
    # `-I -S` leaves only the standard library; kaged itself comes last, so that it can hide nothing.
    sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    try:
        options = dict(getopt.getopt(argv, "", ["socket=", "grace=", "site=", "gate=", "nft=", "limits="])[0])
        path, grace = options["--socket"], float(options["--grace"])
    except (getopt.GetoptError, KeyError, ValueError) as error:
        sys.stderr.write(f"keeper: bad arguments ({error}): give --socket PATH --grace SECONDS\n")
        return 2
    if os.fork():
        return 0
    os.setsid()
    os.chdir("/")
    # The starter's event loop may leak copies of our own output into us, and its reader waits for their end.
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    lock = os.open(path + ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    if not _alone(lock, path):
        _say("running")
        return 0
    serve(path, grace, options)
    return 0


def _alone(lock: int, path: str) -> bool:
    """Take the lock, waiting for a keeper that is ending; False when one is there that listens."""
    while True:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(path) == 0:
                return False
        time.sleep(_LOOK_AGAIN_S)


def serve(path: str, grace: float, given: Mapping[str, str]) -> None:
    """Serve until the end; the caller holds the lock."""
    from kaged.keeper import door
    from kaged.keeper.loop import Loop
    from kaged.keeper.requests import handle
    from kaged.keeper.server import Server

    gate = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "gate", "main.py")
    program = given.get("--gate", gate), given.get("--site", ""), given.get("--nft", door.find("nft"))
    loop = Loop()
    Server(loop, path, grace, handle, program, groups=given.get("--limits") != "rlimits")
    _say(f"ready {os.getpid()}")
    loop.run()


def _say(text: str) -> None:
    """The one line for whoever started us; nobody may be left to read it."""
    with contextlib.suppress(BrokenPipeError):
        os.write(1, f"{text}\n".encode())
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.close(null)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
