"""Start of the gate: `python -I -S …/kaged/gate/main.py --fd N --wire VERSION --site DIR`; ends with that socket."""

import ctypes
import getopt
import os
import resource
import signal
import socket
import sys
from collections.abc import Sequence

_PR_SET_DUMPABLE = 4


def main(argv: Sequence[str]) -> int:
    """Be the gate until the keeper has gone."""
    # `-I -S` leaves only the standard library; what is added comes last, so that it can hide nothing.
    sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    from kaged.core.gate_wire import GATE_VERSION

    try:
        options = dict(getopt.getopt(argv, "", ["fd=", "wire=", "site="])[0])
        fd, version, site = int(options["--fd"]), int(options["--wire"]), options["--site"]
    except (getopt.GetoptError, KeyError, ValueError) as error:
        sys.stderr.write(f"gate: bad arguments ({error}): give --fd N --wire VERSION --site DIR\n")
        return 2
    if version != GATE_VERSION:
        text = f"gate: the keeper speaks version {version} of the protocol and this is {GATE_VERSION}"
        sys.stderr.write(f"{text}: run `kaged stop`, then start again\n")
        return 3
    sys.path.append(site)
    for number in (signal.SIGINT, signal.SIGHUP):  # the keeper's socket alone says when to end
        signal.signal(number, signal.SIG_IGN)
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        sys.stderr.write("gate: its memory, which holds secrets, cannot be hidden from other processes\n")
        return 1
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    _serve(socket.socket(fileno=fd))
    return 0


def _serve(sock: socket.socket) -> None:
    import asyncio

    from kaged.gate.control import Gate

    loop = asyncio.new_event_loop()
    loop.run_until_complete(Gate().serve(sock))
    sys.stderr.flush()
    os._exit(0)  # a thread may hang in the resolver


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
