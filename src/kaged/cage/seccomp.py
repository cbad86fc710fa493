"""The cage's system call filter as classic BPF, for two machines. It never sees what a pointer leads to, so `clone3`
answers ENOSYS and programs fall back to `clone`. Only the low 32 bits of an argument are compared, as the kernel does:
a 64-bit comparison would let `TIOCSTI | 1 << 32` through."""

import errno
import struct
import tomllib
from collections.abc import Iterable, Mapping, Set
from pathlib import Path
from typing import Any, Literal

Profile = Literal["default", "relaxed"]
Machine = Literal["x86_64", "aarch64"]
Numbers = Mapping[str, tuple[int | None, int | None]]
"""System call numbers on (x86_64, aarch64); None where the architecture lacks the call."""

AUDIT_ARCH: Mapping[str, int] = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}  # `seccomp_data.arch` (linux/audit.h)

NEWEST = 469  # the highest number judged here (`file_setattr`, Linux 6.17); whatever is newer does not exist inside

_LD, _JEQ, _JGT, _JSET, _AND, _RET = 0x20, 0x15, 0x25, 0x45, 0x54, 0x06
_NR, _ARCH, _ARGS = 0, 4, 16
ALLOW, KILL, ERRNO = 0x7FFF0000, 0x80000000, 0x00050000


def _numbers(kind: str) -> Numbers:
    return {name: (pair[0], pair[1] if pair[1:] else None) for name, pair in _CALLS[kind].items()}


_CALLS: Mapping[str, Any] = tomllib.loads((Path(__file__).parent / "data" / "syscalls.toml").read_text("utf-8"))
DENIED = _numbers("denied")  # answered with EPERM
ABSENT = _numbers("absent")  # answered with ENOSYS, so that programs fall back to older calls
CONDITIONAL = _numbers("conditional")  # judged by their arguments
NUMBERS: Numbers = {**DENIED, **ABSENT, **CONDITIONAL}
RELAXED: Set[str] = {*_CALLS["relaxed"]["names"]}  # what the `relaxed` profile allows in addition
CLONE_NEW = 0x7E020000
IOCTLS: Mapping[str, int] = {"TIOCSTI": 0x5412, "TIOCLINUX": 0x541C, "TIOCSETD": 0x5423}
PERSONALITIES: tuple[int, ...] = (0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)
_AF_UNIX, _AF_INET, _AF_INET6, _AF_NETLINK = 1, 2, 10, 16
_SOCK_TYPE_MASK, _SOCK_RAW, _NETLINK_ROUTE = 0xF, 3, 0
_MODE_ARG = {"chmod": 1, "fchmod": 1, "fchmodat": 2, "fchmodat2": 2, "mknod": 1, "mknodat": 2}
_S_ISUID = 0o4000

Instruction = tuple[int, int, int, int]  # code, jump if true, jump if false, k

_ALLOWED: Instruction = (_RET, 0, 0, ALLOW)


def number(name: str, machine: Machine) -> int | None:
    """The number of `name` on `machine`, or None when that architecture has no such call."""
    return NUMBERS[name][0 if machine == "x86_64" else 1]


def filter_for(profile: Profile, machine: Machine) -> bytes:
    """The filter program as `bwrap --seccomp` reads it: an array of `struct sock_filter`."""
    return b"".join(struct.pack("<HBBI", *step) for step in program(profile, machine))


def program(profile: Profile, machine: Machine) -> list[Instruction]:
    code: list[Instruction] = [
        (_LD, 0, 0, _ARCH), (_JEQ, 1, 0, AUDIT_ARCH[machine]), (_RET, 0, 0, KILL),
        (_LD, 0, 0, _NR), (_JGT, 0, 1, NEWEST), _deny(errno.ENOSYS),
    ]  # fmt: skip
    bodies = {name: [_deny(errno.EPERM)] for name in DENIED}
    bodies |= {name: [_deny(errno.ENOSYS)] for name in ABSENT}
    bodies |= _conditional()
    for name, body in bodies.items():
        nr = number(name, machine)
        if nr is not None and not (profile == "relaxed" and name in RELAXED):
            code += [(_JEQ, 0, len(body), nr), *body]
    return [*code, _ALLOWED]


def _conditional() -> dict[str, list[Instruction]]:
    """Calls judged by their arguments; each body ends in a verdict of its own."""
    eperm, unsupported = _deny(errno.EPERM), _deny(errno.EAFNOSUPPORT)
    blocks = {
        "clone": [_arg(0), (_JSET, 0, 1, CLONE_NEW), eperm, _ALLOWED],
        "ioctl": [_arg(1), *_if_equal(IOCTLS.values(), eperm), _ALLOWED],
        "socket": _socket(unsupported),
        "socketpair": [_arg(0), (_JEQ, 1, 0, _AF_UNIX), unsupported, _ALLOWED],
        "personality": [_arg(0), *_if_equal(PERSONALITIES, _ALLOWED), eperm],
    }
    modes = {name: [_arg(at), (_JSET, 0, 1, _S_ISUID), eperm, _ALLOWED] for name, at in _MODE_ARG.items()}
    return blocks | modes


def _socket(unsupported: Instruction) -> list[Instruction]:
    """Unix and IP sockets except raw ones, and route netlink (`ip`, `getifaddrs`): nothing else."""
    netlink = [_arg(2), (_JEQ, 0, 1, _NETLINK_ROUTE), _ALLOWED, unsupported]
    plain = [_arg(1), (_AND, 0, 0, _SOCK_TYPE_MASK), (_JEQ, 0, 1, _SOCK_RAW), unsupported, _ALLOWED]
    return [
        _arg(0), (_JEQ, 0, len(netlink), _AF_NETLINK), *netlink,
        (_JEQ, 3, 0, _AF_UNIX), (_JEQ, 2, 0, _AF_INET), (_JEQ, 1, 0, _AF_INET6), unsupported, *plain,
    ]  # fmt: skip


def _arg(position: int) -> Instruction:
    return (_LD, 0, 0, _ARGS + 8 * position)


def _deny(error: int) -> Instruction:
    return (_RET, 0, 0, ERRNO | error)


def _if_equal(values: Iterable[int], verdict: Instruction) -> list[Instruction]:
    return [step for value in values for step in ((_JEQ, 0, 1, value), verdict)]
