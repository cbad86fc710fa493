"""The cage's system call filter as classic BPF, for two machines. It never sees what a pointer leads to, so `clone3`
answers ENOSYS and programs fall back to `clone`. Only the low 32 bits of an argument are compared, as the kernel does:
a 64-bit comparison would let `TIOCSTI | 1 << 32` through."""

import errno
import struct
from collections.abc import Iterable, Mapping, Set
from typing import Literal

Profile = Literal["default", "relaxed"]
Machine = Literal["x86_64", "aarch64"]
Numbers = Mapping[str, tuple[int | None, int | None]]
"""System call numbers on (x86_64, aarch64); None where the architecture lacks the call."""

AUDIT_ARCH: Mapping[str, int] = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}  # `seccomp_data.arch` (linux/audit.h)

NEWEST = 469  # the highest number judged here (`file_setattr`, Linux 6.17); whatever is newer does not exist inside

_LD, _JEQ, _JGT, _JSET, _AND, _RET = 0x20, 0x15, 0x25, 0x45, 0x54, 0x06
_NR, _ARCH, _ARGS = 0, 4, 16
ALLOW, KILL, ERRNO = 0x7FFF0000, 0x80000000, 0x00050000

DENIED: Numbers = {  # answered with EPERM
    # what the file tree shows
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "move_mount": (429, 429),
    "open_tree": (428, 428), "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433),
    "mount_setattr": (442, 442),
    # other namespaces, in which an agent would be root
    "setns": (308, 268), "unshare": (272, 97),
    # the kernel's keyring is the account's, not the cage's
    "keyctl": (250, 219), "add_key": (248, 217), "request_key": (249, 218),
    # big, privileged by habit, and behind most kernel exploits of past years
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282),
    # another kernel, or other code in this one
    "kexec_load": (246, 104), "kexec_file_load": (320, 294), "init_module": (175, 105), "finit_module": (313, 273),
    "delete_module": (176, 106), "create_module": (174, None), "get_kernel_syms": (177, None),
    "query_module": (178, None),
    # other processes' memory and descriptors
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272),
    "pidfd_getfd": (438, 438), "process_madvise": (440, 440),
    # the machine's own affairs: swap, accounts, names, clocks, log, terminals
    "swapon": (167, 224), "swapoff": (168, 225), "reboot": (169, 142), "acct": (163, 89), "quotactl": (179, 60),
    "quotactl_fd": (443, 443), "sethostname": (170, 161), "setdomainname": (171, 162), "settimeofday": (164, 170),
    "clock_settime": (227, 112), "syslog": (103, 116), "vhangup": (153, 58),
    # leftovers that nothing uses
    "nfsservctl": (180, 42), "lookup_dcookie": (212, 18), "_sysctl": (156, None), "sysfs": (139, None),
    "uselib": (134, None), "ustat": (136, None),
    # hardware ports and segments
    "iopl": (172, None), "ioperm": (173, None), "modify_ldt": (154, None),
    # files past their path, and everybody's file events
    "open_by_handle_at": (304, 265), "fanotify_init": (300, 262), "fanotify_mark": (301, 263),
    # where memory lies: only performance, and a frequent source of kernel bugs
    "move_pages": (279, 239), "migrate_pages": (256, 238), "mbind": (237, 235), "set_mempolicy": (238, 237),
    "set_mempolicy_home_node": (450, 450),
}  # fmt: skip
ABSENT: Numbers = {  # answered with ENOSYS, so that programs fall back to older calls
    # calls that no filter sees
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    # its flags are behind a pointer; `clone` does the same
    "clone3": (435, 435),
    # what is mounted outside
    "statmount": (457, 457), "listmount": (458, 458), "open_tree_attr": (467, 467),
}  # fmt: skip
CONDITIONAL: Numbers = {  # judged by their arguments
    # no new namespaces
    "clone": (56, 220),
    # no typing into a terminal (TIOCSTI), no console functions, no line disciplines
    "ioctl": (16, 29),
    # Unix, IP and route netlink only: VSOCK leads to the hypervisor, and raw ones past the gate
    "socket": (41, 198), "socketpair": (53, 199),
    # no odd address layouts
    "personality": (135, 92),
    # no set-user-id files
    "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452), "mknod": (133, None),
    "mknodat": (259, 33),
}  # fmt: skip
NUMBERS: Numbers = {**DENIED, **ABSENT, **CONDITIONAL}

RELAXED: Set[str] = {  # what the `relaxed` profile allows in addition (debuggers, tracers, profilers)
    "ptrace", "process_vm_readv", "process_vm_writev",  # debuggers and tracers: gdb, strace, lldb
    "kcmp", "pidfd_getfd", "process_madvise",  # strace -f, checkpoints, debuggers of whole process trees
    "perf_event_open",  # profilers
    "personality",  # debuggers switch off address randomisation
    "io_uring_setup", "io_uring_enter", "io_uring_register",  # databases and runtimes under test
    "mbind", "set_mempolicy", "set_mempolicy_home_node", "move_pages",  # numactl and benchmarks
}  # fmt: skip
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
