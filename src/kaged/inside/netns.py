"""The listeners of a cage's network, made inside its network namespace, so that the gate serves it from outside. Only a
child enters: from a user namespace there is no way back, and only there may it change the network. Every address is
made local to the cage: all arrives at one listener a port, or with nft at one for all."""

import ctypes
import errno
import fcntl
import os
import signal
import socket
import struct
import sys
import time
from collections.abc import Sequence
from typing import Any, NoReturn

from kaged.core import keeper_wire as wire

LIMIT_S = 10
MAX_PORTS = (wire.MAX_FDS - 4) // 2
ADDRESS = "198.19.255.254"  # of the cage: without one beside 127.0.0.1 programs look up no IPv4 addresses at all
_NS_GET_USERNS = 0xB701
_SIOCGIFFLAGS = 0x8913
_IFF_UP = 1
_CAP_NET_BIND, _CAP_NET_ADMIN = 10, 12
_PR_SET_PDEATHSIG, _PR_CAP_AMBIENT, _RAISE = 1, 47, 2
_CAPABILITY_VERSION_3 = 0x20080522
_NEWADDR, _NEWROUTE = 20, 24
_REQUEST_CREATE_REPLACE_ACK = 0x1 | 0x400 | 0x100 | 0x4
with open(f"{os.path.dirname(os.path.abspath(__file__))}/rules.nft", "rb") as _file:
    _RULES = _file.read()  # now: an upgrade may replace the file while the keeper runs


def serve(channel: socket.socket, pid: int, nft: str, ports: Sequence[int]) -> NoReturn:
    """In a child just forked: answer number 1 on `channel`, with the listeners in the network of process `pid`."""
    try:
        _forget_the_keeper(channel)
        try:
            made, sockets = _work(pid, nft, ports)
            answer = {"n": 1, "ok": made}
        except OSError as error:
            text = f"the cage's network failed: {error.strerror or error}"
            answer, sockets = {"n": 1, "error": {"code": "unavailable", "message": text}}, []
        wire.send(channel, wire.encode(answer, fds=len(sockets)), [sock.fileno() for sock in sockets])
    finally:
        os._exit(0)


def _forget_the_keeper(channel: socket.socket) -> None:
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.alarm(LIMIT_S)
    os.closerange(3, channel.fileno())
    os.closerange(channel.fileno() + 1, os.sysconf("SC_OPEN_MAX"))
    libc("prctl", _PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0, words=f"prctl {_PR_SET_PDEATHSIG} failed")


def _work(pid: int, nft: str, ports: Sequence[int]) -> tuple[dict[str, Any], list[socket.socket]]:
    _enter(pid)
    _wait_for_loopback()
    _make_all_local()
    filtered = bool(nft) and _filter(nft)
    if not filtered and len(ports) > MAX_PORTS:
        text = f"its rules name {len(ports)} ports, and {MAX_PORTS} is the most there can be without nftables"
        raise OSError(errno.E2BIG, text)
    listeners = [("udp53", 53), ("tcp53", 53)]
    listeners += [("tcp", 1)] if filtered else [("tcp", port) for port in ports]
    made = [(kind, sock) for kind, port in listeners for sock in _listeners(kind, port, filtered)]
    return {"nft": filtered, "kinds": [kind for kind, _ in made]}, [sock for _, sock in made]


def _enter(pid: int) -> None:
    net = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    user = fcntl.ioctl(net, _NS_GET_USERNS)
    for fd in (user, net):
        libc("setns", fd, 0, words="its namespace could not be entered: is bwrap setuid root?")
        os.close(fd)


def _wait_for_loopback() -> None:
    """bwrap brings it up itself, after it has told the number of its child; it fails when we were faster."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = struct.pack("16sH14x", b"lo", 0)
        while not struct.unpack_from("16xH", fcntl.ioctl(sock, _SIOCGIFFLAGS, request))[0] & _IFF_UP:
            time.sleep(0.0002)


def _make_all_local() -> None:
    lo = socket.if_nametoindex("lo")
    address = socket.inet_aton(ADDRESS)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as netlink:
        body = struct.pack("BBBBI", socket.AF_INET, 32, 0, 0, lo)
        _netlink(netlink, _NEWADDR, body + _attribute(2, address) + _attribute(1, address))
        for family, scope in ((socket.AF_INET, 254), (socket.AF_INET6, 0)):
            # local default dev lo, in the table of local routes
            body = struct.pack("BBBBBBBBI", family, 0, 0, 0, 255, 4, scope, 2, 0)
            try:
                _netlink(netlink, _NEWROUTE, body + _attribute(4, struct.pack("I", lo)))
            except OSError:
                if family == socket.AF_INET:  # a machine without IPv6 has nothing to lead astray
                    raise


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("HH", 4 + len(value), kind) + value


def _netlink(sock: socket.socket, kind: int, body: bytes) -> None:
    sock.send(struct.pack("IHHII", 16 + len(body), kind, _REQUEST_CREATE_REPLACE_ACK, 1, 0) + body)
    (code,) = struct.unpack_from("16xi", sock.recv(4096))
    if code:
        raise OSError(-code, f"netlink refused request {kind}: {os.strerror(-code)}")


def _filter(nft: str) -> bool:
    """Load the rules. A kernel that cannot do them is served without: the same is blocked, less is told."""
    # An exec drops the capabilities that the namespace gave, unless they are ambient.
    header, keep = struct.pack("Ii", _CAPABILITY_VERSION_3, 0), 1 << _CAP_NET_ADMIN | 1 << _CAP_NET_BIND
    sets = struct.pack("6I", keep, keep, 1 << _CAP_NET_ADMIN, 0, 0, 0)
    libc("capset", header, sets, words="CAP_NET_ADMIN could not be kept for nft")
    libc("prctl", _PR_CAP_AMBIENT, _RAISE, _CAP_NET_ADMIN, 0, 0, words=f"prctl {_PR_CAP_AMBIENT} failed")
    rules = os.memfd_create("rules")
    os.write(rules, _RULES)
    os.lseek(rules, 0, os.SEEK_SET)
    child = os.posix_spawn(nft, [nft, "-f", "-"], {}, file_actions=[(os.POSIX_SPAWN_DUP2, rules, 0)])
    os.close(rules)
    if os.waitpid(child, 0)[1] == 0:
        return True
    sys.stderr.write("nft could not load a cage's rules (see above), so it is served without them\n")
    return False


def libc(function: str, *values: int | bytes, words: str) -> None:
    """Call a function of the C library; raises OSError with these words when it does not return 0."""
    if getattr(ctypes.CDLL(None, use_errno=True), function)(*values) != 0:
        raise OSError(ctypes.get_errno(), words)


def _listeners(kind: str, port: int, filtered: bool) -> list[socket.socket]:
    """One for IPv4, and one for IPv6 where there is any."""
    made = []
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            made.append(_listener(family, kind, port, filtered))
        except OSError as error:
            # A port of a running cage may be its own server's; the lower ones no program in it can take.
            if family == socket.AF_INET and (port < 1024 or error.errno != errno.EADDRINUSE):
                raise
    return made


def _listener(family: int, kind: str, port: int, filtered: bool) -> socket.socket:
    udp = kind == "udp53"
    sock = socket.socket(family, socket.SOCK_DGRAM if udp else socket.SOCK_STREAM)
    any_, loopback = ("0.0.0.0", "127.0.0.1") if family == socket.AF_INET else ("::", "::1")
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if udp:  # whoever answers must know what was asked: it may be any resolver's address
        option = (socket.IPPROTO_IP, 8) if family == socket.AF_INET else (socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO)
        sock.setsockopt(*option, 1)
    sock.bind((loopback if filtered and kind == "tcp" else any_, port))
    if not udp:
        sock.listen(512)
    return sock
