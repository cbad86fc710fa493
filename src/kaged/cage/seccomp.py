"""The cage's system call filter, written straight as classic BPF: no library, the same for two machines.

The filter never sees what a pointer leads to, so `clone3` (whose flags are behind one) answers ENOSYS and
programs fall back to `clone`. Only the low 32 bits of an argument are compared: the kernel ignores the
rest for these calls, so a 64-bit comparison would let `TIOCSTI | 1 << 32` through.
"""

import errno
import struct
from collections.abc import Iterable, Mapping
from typing import Literal

from kaged.cage.syscalls import AUDIT_ARCH, NEWEST, Machine, number

Profile = Literal["default", "relaxed"]

_LD, _JEQ, _JGT, _JSET, _AND, _RET = 0x20, 0x15, 0x25, 0x45, 0x54, 0x06
_NR, _ARCH, _ARGS = 0, 4, 16
ALLOW, KILL, ERRNO = 0x7FFF0000, 0x80000000, 0x00050000

DENIED: tuple[str, ...] = (
    "mount", "umount2", "pivot_root", "chroot", "move_mount", "open_tree", "fsopen", "fsconfig", "fsmount",
    "fspick", "mount_setattr", "setns", "unshare", "keyctl", "add_key", "request_key", "bpf",
    "perf_event_open", "userfaultfd", "kexec_load", "kexec_file_load", "init_module", "finit_module",
    "delete_module", "create_module", "get_kernel_syms", "query_module", "ptrace", "process_vm_readv",
    "process_vm_writev", "kcmp", "pidfd_getfd", "process_madvise", "swapon", "swapoff", "reboot", "acct",
    "quotactl", "quotactl_fd", "sethostname", "setdomainname", "settimeofday", "clock_settime", "syslog",
    "vhangup", "nfsservctl", "lookup_dcookie", "_sysctl", "sysfs", "uselib", "ustat", "iopl", "ioperm",
    "modify_ldt", "open_by_handle_at", "fanotify_init", "fanotify_mark", "move_pages", "migrate_pages",
    "mbind", "set_mempolicy", "set_mempolicy_home_node",
)  # fmt: skip
"""Answered with EPERM."""

ABSENT: tuple[str, ...] = (
    "io_uring_setup", "io_uring_enter", "io_uring_register", "clone3", "statmount", "listmount",
    "open_tree_attr",
)  # fmt: skip
"""Answered with ENOSYS, so that programs fall back to older calls."""

RELAXED: frozenset[str] = frozenset(
    {
        "ptrace", "process_vm_readv", "process_vm_writev", "kcmp", "pidfd_getfd", "process_madvise",
        "perf_event_open", "personality", "io_uring_setup", "io_uring_enter", "io_uring_register", "mbind",
        "set_mempolicy", "set_mempolicy_home_node", "move_pages",
    }
)  # fmt: skip
"""What the `relaxed` profile allows in addition (debuggers, tracers, profilers)."""

CLONE_NEW = 0x7E020000
IOCTLS: Mapping[str, int] = {"TIOCSTI": 0x5412, "TIOCLINUX": 0x541C, "TIOCSETD": 0x5423}
PERSONALITIES: tuple[int, ...] = (0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)
_AF_UNIX, _AF_INET, _AF_INET6, _AF_NETLINK = 1, 2, 10, 16
_SOCK_TYPE_MASK, _SOCK_RAW, _NETLINK_ROUTE = 0xF, 3, 0
_MODE_ARG: Mapping[str, int] = {
    "chmod": 1,
    "fchmod": 1,
    "fchmodat": 2,
    "fchmodat2": 2,
    "mknod": 1,
    "mknodat": 2,
}
_S_ISUID = 0o4000

Instruction = tuple[int, int, int, int]


def filter_for(profile: Profile, machine: Machine) -> bytes:
    """The filter program as `bwrap --seccomp` reads it: an array of `struct sock_filter`."""
    return b"".join(struct.pack("<HBBI", code, jt, jf, k) for code, jt, jf, k in program(profile, machine))


def program(profile: Profile, machine: Machine) -> list[Instruction]:
    """The filter as instructions `(code, jump if true, jump if false, k)`."""
    code: list[Instruction] = [
        (_LD, 0, 0, _ARCH),
        (_JEQ, 1, 0, AUDIT_ARCH[machine]),
        (_RET, 0, 0, KILL),
        (_LD, 0, 0, _NR),
        (_JGT, 0, 1, NEWEST),
        _deny(errno.ENOSYS),
    ]
    skip = RELAXED if profile == "relaxed" else frozenset()
    for names, error in ((DENIED, errno.EPERM), (ABSENT, errno.ENOSYS)):
        for name in names:
            if name not in skip and (nr := number(name, machine)) is not None:
                code += [(_JEQ, 0, 1, nr), _deny(error)]
    for name, body in _conditional().items():
        if name not in skip and (nr := number(name, machine)) is not None:
            code += [(_JEQ, 0, len(body), nr), *body]
    code.append((_RET, 0, 0, ALLOW))
    return code


def _conditional() -> dict[str, list[Instruction]]:
    """Calls judged by their arguments; each body ends in a verdict of its own."""
    blocks = {
        "clone": [_arg(0), (_JSET, 0, 1, CLONE_NEW), _deny(errno.EPERM), _allow()],
        "ioctl": [_arg(1), *_refuse_equal(IOCTLS.values(), errno.EPERM), _allow()],
        "socket": _socket(),
        "socketpair": [_arg(0), (_JEQ, 1, 0, _AF_UNIX), _deny(errno.EAFNOSUPPORT), _allow()],
        "personality": [_arg(0), *_allow_equal(PERSONALITIES), _deny(errno.EPERM)],
    }
    for name, position in _MODE_ARG.items():
        blocks[name] = [_arg(position), (_JSET, 0, 1, _S_ISUID), _deny(errno.EPERM), _allow()]
    return blocks


def _socket() -> list[Instruction]:
    """Unix and IP sockets except raw ones, and route netlink (`ip`, `getifaddrs`): nothing else."""
    netlink = [_arg(2), (_JEQ, 0, 1, _NETLINK_ROUTE), _allow(), _deny(errno.EAFNOSUPPORT)]
    plain = [_arg(1), (_AND, 0, 0, _SOCK_TYPE_MASK), (_JEQ, 0, 1, _SOCK_RAW), _deny(errno.EAFNOSUPPORT)]
    return [
        _arg(0),
        (_JEQ, 0, len(netlink), _AF_NETLINK),
        *netlink,
        (_JEQ, 3, 0, _AF_UNIX),
        (_JEQ, 2, 0, _AF_INET),
        (_JEQ, 1, 0, _AF_INET6),
        _deny(errno.EAFNOSUPPORT),
        *plain,
        _allow(),
    ]


def _arg(position: int) -> Instruction:
    return (_LD, 0, 0, _ARGS + 8 * position)


def _deny(error: int) -> Instruction:
    return (_RET, 0, 0, ERRNO | error)


def _allow() -> Instruction:
    return (_RET, 0, 0, ALLOW)


def _refuse_equal(values: Iterable[int], error: int) -> list[Instruction]:
    return [step for value in values for step in ((_JEQ, 0, 1, value), _deny(error))]


def _allow_equal(values: Iterable[int]) -> list[Instruction]:
    return [step for value in values for step in ((_JEQ, 0, 1, value), _allow())]
