"""Ways through system calls and sockets, with arguments that do no harm: the kernel itself finds fault with them."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import mmap
import os
import signal
import socket
import struct
import subprocess
import termios
from collections.abc import Iterable
from functools import partial

from .ways import CAGE, NAMESPACE, Denied, Facts, NotHere, Way, Ways, in_child

ABSENT = {"clone3", "io_uring_enter", "io_uring_register", "io_uring_setup", "listmount", "open_tree_attr", "statmount"}
"""What the filter says does not exist; to everything else it says no."""

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
ANSWER_S = 0.5  # far longer than a refusal takes within one machine
_held: list[socket.socket] = []


def call(number: int | None, *args: int | bytes) -> None:
    """A raw system call; raises OSError."""
    ctypes.set_errno(0)
    words = [arg if isinstance(arg, bytes) else ctypes.c_ulong(arg & (2**64 - 1)) for arg in args]
    if _libc.syscall(ctypes.c_long(number or 0), *words) < 0:
        raise OSError(ctypes.get_errno(), "")


def filtered(**calls: tuple[int, ...]) -> Ways:
    """Calls to which the filter has one answer: any other means that the kernel itself was reached."""
    return lambda facts: {
        name: partial(_reached, errno.ENOSYS if name in ABSENT else errno.EPERM, facts.numbers[name], *args)
        for name, args in calls.items()
        if facts.numbers[name] is not None
    }


def _reached(answer: int, number: int | None, *args: int | bytes) -> str:
    try:
        call(number, *args)
    except OSError as error:
        if error.errno == answer:
            raise
        return f"reached the kernel ({errno.errorcode[error.errno or 0]})"
    return "done"


def sockets(**kinds: tuple[int, int, int]) -> Ways:
    no = errno.EAFNOSUPPORT
    return lambda f: {name: partial(_reached, no, f.numbers["socket"], *args) for name, args in kinds.items()}


def vsock(facts: Facts) -> dict[str, Way]:
    """To reach the machine that this one is a guest of."""
    ways = sockets(AF_VSOCK=(40, 1, 0))(facts)
    try:
        ways["AF_VSOCK"]()
    except OSError as error:
        if facts.where != CAGE:
            raise NotHere("this kernel has no such sockets") from error
    return ways


def mounts(facts: Facts) -> dict[str, Way]:
    mount = partial(call, facts.numbers["mount"], b"none", b".", b"tmpfs", 0, 0)
    return {"mount tmpfs": mount, **filtered(mount=(0, 0, 0, 0, 0), umount2=(0, -1))(facts)}


def terminal(facts: Facts) -> dict[str, Way]:
    """To type into a terminal: one's own controlling one, where the kernel itself would allow it."""

    def work(request: int) -> None:
        os.setsid()
        slave = os.openpty()[1]
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
        _reached(errno.EPERM, facts.numbers["ioctl"], slave, request, b"\3x")

    requests = {"TIOCSTI": 0x5412, "TIOCSTI with high bits": 0x5412 | 1 << 32, "TIOCLINUX": 0x541C}
    return {name: in_child(partial(work, request)) for name, request in requests.items()}


def foreign_calls(facts: Facts) -> dict[str, Way]:
    """Calls of another architecture, which have numbers of their own: getpid."""
    if facts.machine != "x86_64":
        return {"arm": partial(_arm, facts)}
    code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(b"\xb8\x14\0\0\0\xcd\x80\xc3")  # mov eax, 20; int 0x80; ret
    start = ctypes.c_char.from_buffer(code)  # keeps the code where it is
    getpid = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(start))

    def i386(_: object = start) -> None:
        try:
            in_child(getpid)()
        except Denied as error:
            if "SIGSEGV" in str(error) and facts.where != CAGE:
                raise NotHere("this kernel has no i386 calls") from error
            raise

    return {"x32": partial(call, 0x40000000 | 39), "i386": i386}


def _arm(facts: Facts) -> None:
    """Run a whole program: on ARM, only that makes a process of 32 bits."""
    steps = (0xE3A07014, 0xEF000000, 0xE3A00000, 0xE3A07001, 0xEF000000)  # mov r7, 20; svc; mov r0, 0; mov r7, 1; svc
    size, at = 84 + 4 * len(steps), 0x10000
    head = struct.pack("<4s4B8x2H5I6H", b"\x7fELF", 1, 1, 1, 0, 2, 40, 1, at + 84, 52, 0, 0x5000000, 52, 32, 1, 0, 0, 0)
    with open("arm", "wb") as file:
        file.write(head + struct.pack("<8I5I", 1, 0, at, at, size, size, 5, at, *steps))
        os.fchmod(file.fileno(), 0o700)
    try:
        status = subprocess.run(["./arm"], check=False).returncode
    except OSError as error:
        if error.errno == errno.ENOEXEC and facts.where != CAGE:
            raise NotHere("this processor or kernel runs no 32-bit programs") from error
        raise
    finally:
        os.unlink("arm")
    if status:
        raise Denied(f"killed by {signal.Signals(-status).name}" if status < 0 else f"ended with {status}")


def set_user_id(facts: Facts) -> dict[str, Way]:
    make = partial(call, facts.numbers["mknodat"], -100, b"set-user-id", 0o104755, 0)
    change = partial(call, facts.numbers["fchmodat"], -100, b"plain", 0o4755)
    return {"a new file": make, "chmod": change, "chmod by path": partial(os.chmod, "plain", 0o4755)}


def streams(family: int, addresses: Iterable[object]) -> dict[str, Way]:
    def connect(address: object) -> None:
        with socket.socket(family, socket.SOCK_STREAM) as sock:
            sock.settimeout(1)
            sock.connect(address)  # type: ignore[arg-type]

    return {str(address).replace("\0", "@"): partial(connect, address) for address in addresses}


def datagrams(port: int, hosts: Iterable[str]) -> dict[str, Way]:
    def send(host: str) -> None:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(ANSWER_S)
            sock.connect((host, port))
            sock.send(b"x")
            with contextlib.suppress(TimeoutError):  # nobody refused it
                sock.recv(1)  # hears of a refusal, however late a busy kernel delivers it

    return {host: partial(send, host) for host in hosts}


def tcp6(facts: Facts) -> dict[str, Way]:
    if not facts.ports["tcp6"]:
        raise NotHere("this machine has no IPv6")
    hosts = ("::1",) if facts.where != CAGE else ("::1", "2001:db8::1")
    return streams(socket.AF_INET6, [(host, facts.ports["tcp6"]) for host in hosts])


def metadata(facts: Facts) -> dict[str, Way]:
    """The address at which clouds give keys away, and private networks."""
    _answer_everything(facts)
    hosts = ("169.254.169.254", "10.0.0.1", "192.168.0.1", "172.16.0.1")
    return streams(socket.AF_INET, [(host, 80) for host in hosts])


def names(facts: Facts) -> dict[str, Way]:
    """To ask for a name, which carries data out."""
    _answer_everything(facts)
    resolver = partial(socket.getaddrinfo, "example.com", 80)
    return {**datagrams(53, ("192.0.2.53", "127.0.0.1")), "the resolver": resolver}


def _answer_everything(facts: Facts) -> None:
    """In a namespace whose routes all lead to us: the control for what may not leave a machine."""
    if facts.where == NAMESPACE and not _held:
        _held.extend((socket.create_server(("", 80)), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)))
        _held[1].bind(("", 53))


def routes(_: Facts) -> dict[str, Way]:
    """To lead all addresses to oneself (`ip route add local default dev lo`)."""

    def work() -> None:
        attribute = struct.pack("HHi", 8, 4, socket.if_nametoindex("lo"))
        message = struct.pack("BBBBBBBBI", socket.AF_INET, 0, 0, 0, 254, 3, 254, 2, 0) + attribute
        head = struct.pack("IHHII", 16 + len(message), 24, 0x605, 1, 0)
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as sock:
            sock.bind((0, 0))
            sock.send(head + message)
            code: int = struct.unpack_from("i", sock.recv(4096), 16)[0]
        if code:
            raise OSError(-code, "")

    return {"route": work}
