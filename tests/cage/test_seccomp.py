"""The filter: its bytes, its meaning for every number, and what the kernel really does under it."""

import errno
import hashlib
import json
import platform
import re
import struct
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cage.harness import plan_for, start
from kaged.cage import seccomp
from kaged.cage.plan import CagePlan
from kaged.cage.seccomp import (
    ALLOW,
    AUDIT_ARCH,
    ERRNO,
    KILL,
    NEWEST,
    NUMBERS,
    Machine,
    Profile,
    filter_for,
    number,
    program,
)  # fmt: skip

EPERM, ENOSYS = ERRNO | errno.EPERM, ERRNO | errno.ENOSYS
NOT_SUPPORTED = ERRNO | errno.EAFNOSUPPORT
BOTH = pytest.mark.parametrize("machine", ["x86_64", "aarch64"])

GOLDEN = {
    ("default", "x86_64"): (223, "e0b5fa8b22f6fab68f40a92865a84732837eee774a80eeedf2db7a31b7e4c326"),
    ("default", "aarch64"): (193, "639e4123e840e7fc9dbc385801302c4dadb6a2c63d12022b135da027c6c73f65"),
    ("relaxed", "x86_64"): (182, "2a85e40b0b43936e03bed068a9d6d334b6bf48d1db15340d9bbb2367494e10a1"),
    ("relaxed", "aarch64"): (152, "d9b56d56b88e9ad9f3af3ec6785072e75647dc36d75cdd3fc44853784624339e"),
}


def judge(profile: Profile, machine: Machine, nr: int, args: tuple[int, ...] = (), arch: int | None = None) -> int:
    """What the kernel's BPF machine answers for one call."""
    words = list(args) + [0] * (6 - len(args))
    data = struct.pack("<IIQ6Q", nr, AUDIT_ARCH[machine] if arch is None else arch, 0, *words)
    code = program(profile, machine)
    accumulator, at = 0, 0
    for _ in range(len(code)):
        op, jt, jf, k = code[at]
        at += 1
        match op:
            case 0x20:
                [accumulator] = struct.unpack_from("<I", data, k)
            case 0x15:
                at += jt if accumulator == k else jf
            case 0x25:
                at += jt if accumulator > k else jf
            case 0x45:
                at += jt if accumulator & k else jf
            case 0x54:
                accumulator &= k
            case 0x06:
                return k
            case _:
                raise AssertionError(f"no such instruction: {op:#x}")
    raise AssertionError("the program does not end")


@pytest.mark.parametrize(("key", "expected"), GOLDEN.items(), ids=lambda v: "-".join(map(str, v))[:20])
def test_the_bytes_are_the_ones_that_were_reviewed(key: tuple[Profile, Machine], expected: tuple[int, str]) -> None:
    code = filter_for(*key)
    assert (len(code) // 8, hashlib.sha256(code).hexdigest()) == expected


@BOTH
@pytest.mark.parametrize("profile", ["default", "relaxed"])
def test_every_jump_lands_inside_and_every_path_ends(profile: Profile, machine: Machine) -> None:
    code = program(profile, machine)
    for at, (op, jt, jf, _) in enumerate(code):
        if op in (0x15, 0x25, 0x45):
            assert at + 1 + max(jt, jf) < len(code)
        else:
            assert jt == jf == 0
    assert code[-1] == (0x06, 0, 0, ALLOW)


@BOTH
def test_numbers_are_distinct_and_known(machine: Machine) -> None:
    numbers = [n for name in NUMBERS if (n := number(name, machine)) is not None]
    assert len(numbers) == len(set(numbers))
    assert max(numbers) <= NEWEST


@BOTH
def test_each_number_is_judged_by_the_lists(machine: Machine) -> None:
    conditional = set(seccomp._conditional())
    by_number = {number(name, machine): name for name in NUMBERS}
    for nr in range(NEWEST + 100):
        name = by_number.get(nr, "")
        if name in conditional:
            continue
        expected = ALLOW
        if name in seccomp.DENIED:
            expected = EPERM
        elif name in seccomp.ABSENT or nr > NEWEST:
            expected = ENOSYS
        assert judge("default", machine, nr) == expected, name or nr
        relaxed = ALLOW if name in seccomp.RELAXED else expected
        assert judge("relaxed", machine, nr) == relaxed, name or nr


def test_every_named_call_is_used() -> None:
    assert set(seccomp._conditional()) == set(seccomp.CONDITIONAL)
    assert len(NUMBERS) == len(seccomp.DENIED) + len(seccomp.ABSENT) + len(seccomp.CONDITIONAL)
    assert set(NUMBERS) >= set(seccomp.RELAXED)


@BOTH
@given(nr=st.integers(NEWEST + 1, 2**32 - 1))
def test_no_unknown_or_x32_number_passes(machine: Machine, nr: int) -> None:
    assert judge("default", machine, nr) == ENOSYS
    assert judge("relaxed", machine, nr) == ENOSYS


@BOTH
def test_a_foreign_architecture_is_killed(machine: Machine) -> None:
    for arch in (0x40000003, 0x40000028, 0xC0000015, AUDIT_ARCH["aarch64" if machine == "x86_64" else "x86_64"]):
        assert judge("default", machine, 39, arch=arch) == KILL


@BOTH
@given(high=st.integers(0, 2**32 - 1), value=st.integers(0, 2**32 - 1))
def test_only_the_low_half_of_an_argument_counts(machine: Machine, high: int, value: int) -> None:
    nr = number("ioctl", machine)
    assert nr is not None
    bad = value in seccomp.IOCTLS.values()
    assert judge("default", machine, nr, (0, value | high << 32)) == (EPERM if bad else ALLOW)
    for request in seccomp.IOCTLS.values():
        assert judge("relaxed", machine, nr, (0, request | high << 32)) == EPERM


@BOTH
@given(flags=st.integers(0, 2**32 - 1))
def test_clone_makes_no_namespace(machine: Machine, flags: int) -> None:
    nr = number("clone", machine)
    assert nr is not None
    for profile in ("default", "relaxed"):
        expected = EPERM if flags & seccomp.CLONE_NEW else ALLOW
        assert judge(profile, machine, nr, (flags,)) == expected  # type: ignore[arg-type]


@BOTH
@given(
    family=st.integers(0, 50),
    kind=st.integers(0, 10),
    flags=st.sampled_from([0, 0x800, 0x80000]),
    protocol=st.integers(0, 30),
)
def test_sockets(machine: Machine, family: int, kind: int, flags: int, protocol: int) -> None:
    nr, pair = number("socket", machine), number("socketpair", machine)
    assert nr is not None and pair is not None
    allowed = (family in (1, 2, 10) and kind != 3) or (family == 16 and protocol == 0)
    assert judge("default", machine, nr, (family, kind | flags, protocol)) == (ALLOW if allowed else NOT_SUPPORTED)
    assert judge("default", machine, pair, (family, kind | flags)) == (ALLOW if family == 1 else NOT_SUPPORTED)


@BOTH
@given(mode=st.integers(0, 0o177777))
def test_no_set_user_id_bit(machine: Machine, mode: int) -> None:
    for name, position in (
        ("fchmod", 1),
        ("fchmodat", 2),
        ("fchmodat2", 2),
        ("mknodat", 2),
        ("chmod", 1),
        ("mknod", 1),
    ):
        nr = number(name, machine)
        if nr is not None:
            args = (0,) * position + (mode,)
            assert judge("default", machine, nr, args) == (EPERM if mode & 0o4000 else ALLOW), name


@BOTH
@given(value=st.integers(0, 2**32 - 1) | st.sampled_from(seccomp.PERSONALITIES))
def test_personality(machine: Machine, value: int) -> None:
    nr = number("personality", machine)
    assert nr is not None
    assert judge("default", machine, nr, (value,)) == (ALLOW if value in seccomp.PERSONALITIES else EPERM)
    assert judge("relaxed", machine, nr, (value,)) == ALLOW


DESIGN = {
    "DENIED": """
        mount umount2 pivot_root chroot move_mount open_tree fsopen fsconfig fsmount fspick mount_setattr
        setns unshare keyctl add_key request_key bpf perf_event_open userfaultfd kexec_load
        kexec_file_load init_module finit_module delete_module create_module get_kernel_syms query_module
        ptrace process_vm_readv process_vm_writev kcmp pidfd_getfd process_madvise swapon swapoff reboot
        acct quotactl quotactl_fd sethostname setdomainname settimeofday clock_settime syslog vhangup
        nfsservctl lookup_dcookie _sysctl sysfs uselib ustat iopl ioperm modify_ldt open_by_handle_at
        fanotify_init fanotify_mark move_pages migrate_pages mbind set_mempolicy set_mempolicy_home_node""",
    "ABSENT": """
        io_uring_setup io_uring_enter io_uring_register clone3 statmount listmount open_tree_attr""",
    "CONDITIONAL": """
        clone ioctl socket socketpair personality chmod fchmod fchmodat fchmodat2 mknod mknodat""",
    "RELAXED": """
        ptrace process_vm_readv process_vm_writev kcmp pidfd_getfd process_madvise perf_event_open
        personality io_uring_setup io_uring_enter io_uring_register mbind set_mempolicy
        set_mempolicy_home_node move_pages""",
}


@pytest.mark.parametrize("table", DESIGN)
def test_the_tables_hold_what_was_decided_and_nothing_else(table: str) -> None:
    assert set(getattr(seccomp, table)) == set(DESIGN[table].split())


@pytest.mark.parametrize(
    ("machine", "headers"), [("x86_64", "x86_64-linux-gnu/asm/unistd_64.h"), ("aarch64", "asm-generic/unistd.h")]
)
def test_numbers_are_those_of_the_kernels_headers(machine: Machine, headers: str) -> None:
    path = Path("/usr/include") / headers
    if not path.exists():
        pytest.skip(f"{path} is not installed")
    found = re.findall(r"^#define __NR(?:3264)?_(\w+)\s+([0-9]+)$", path.read_text(), re.M)
    known = {name: int(nr) for name, nr in found}
    assert len(known) > 250
    for name in NUMBERS:
        if name in known:
            assert number(name, machine) == known[name], name
    absent = {name for name in NUMBERS if number(name, machine) is None}
    assert not absent & set(known)


KERNEL = r"""
import ctypes, errno, fcntl, json, mmap, os, pty, signal, socket, sys, termios
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
def call(nr, *args):
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(nr), *[ctypes.c_ulong(a & (2**64 - 1)) for a in args])
    return "ok" if result >= 0 else errno.errorcode[ctypes.get_errno()]
def forked(work):
    # Each try in a process of its own: what succeeds must not change the next one.
    r, w = os.pipe()
    if os.fork() == 0:
        os.write(w, work().encode())
        os._exit(0)
    os.close(w)
    text = os.read(r, 100).decode()
    _, status = os.wait()
    return signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else text
def on_a_terminal(request):
    def work():
        master, slave = os.openpty()
        os.setsid()
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
        key = ctypes.create_string_buffer(b"x")
        return call(NR["ioctl"], slave, request, ctypes.addressof(key))
    return work
def set_mode(mode):
    def work():
        fd = os.open("/tmp/f", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            os.fchmod(fd, mode)
        except OSError as error:
            return errno.errorcode[error.errno]
        return "ok"
    return work
def make_socket(family, kind, protocol=0):
    def work():
        try:
            socket.socket(family, kind, protocol)
        except OSError as error:
            return errno.errorcode[error.errno]
        return "ok"
    return work
def old_gate():
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    ctypes.CFUNCTYPE(ctypes.c_int)(address)()
    return "ok"
NR = json.loads(sys.argv[1])
name = ctypes.create_string_buffer(b"/tmp\0")
tries = {
    "tiocsti": on_a_terminal(0x5412),
    "tiocsti high bits": on_a_terminal(0x5412 | 1 << 32),
    "tiocgwinsz": on_a_terminal(0x5413),
    "unshare user": lambda: call(NR["unshare"], 0x10000000),
    "clone user": lambda: call(NR["clone"], 0x10000000 | 17, 0, 0, 0, 0),
    "clone3": lambda: call(NR["clone3"], 0, 0),
    "mount": lambda: call(NR["mount"], 0, 0, 0, 0, 0),
    "umount": lambda: call(NR["umount2"], 0, 0),
    "setns": lambda: call(NR["setns"], -1, 0),
    "chroot": lambda: call(NR["chroot"], 0),
    "ptrace": lambda: call(NR["ptrace"], 0, 0, 0, 0),
    "process_vm_readv": lambda: call(NR["process_vm_readv"], os.getpid(), 0, 0, 0, 0, 0),
    "keyctl": lambda: call(NR["keyctl"], 9999),
    "add_key": lambda: call(NR["add_key"], 0, 0, 0, 0, 0),
    "bpf": lambda: call(NR["bpf"], 9999, 0, 0),
    "perf": lambda: call(NR["perf_event_open"], 0, 0, 0, 0, 0),
    "userfaultfd": lambda: call(NR["userfaultfd"], 1),
    "io_uring": lambda: call(NR["io_uring_setup"], 0, 0),
    "clock_settime": lambda: call(NR["clock_settime"], 9999, 0),
    "personality": lambda: call(NR["personality"], 0x40000),
    "personality 0": lambda: call(NR["personality"], 0),
    "setuid bit": set_mode(0o4755),
    "plain bits": set_mode(0o755),
    "unknown call": lambda: call(470),
    "far unknown call": lambda: call(100000),
    "x32 getpid": lambda: call(0x40000000 | 39),
    "vsock": make_socket(40, socket.SOCK_STREAM),
    "alg": make_socket(38, socket.SOCK_SEQPACKET),
    "packet": make_socket(17, socket.SOCK_DGRAM),
    "raw ip": make_socket(socket.AF_INET, socket.SOCK_RAW, 1),
    "netlink netfilter": make_socket(socket.AF_NETLINK, socket.SOCK_RAW, 12),
    "netlink route": make_socket(socket.AF_NETLINK, socket.SOCK_RAW, 0),
    "unix": make_socket(socket.AF_UNIX, socket.SOCK_STREAM),
    "tcp": make_socket(socket.AF_INET, socket.SOCK_STREAM),
    "udp6": make_socket(socket.AF_INET6, socket.SOCK_DGRAM),
}
if os.uname().machine == "x86_64":
    tries["int 0x80"] = old_gate
print(json.dumps({name: forked(work) for name, work in tries.items()}))
"""

DENIED_BY_KERNEL = {
    **dict.fromkeys(
        [
            "tiocsti", "tiocsti high bits", "unshare user", "clone user", "mount", "umount", "setns",
            "chroot", "ptrace", "process_vm_readv", "keyctl", "add_key", "bpf", "perf", "userfaultfd",
            "clock_settime", "personality", "setuid bit",
        ],
        "EPERM",
    ),
    **dict.fromkeys(["clone3", "io_uring", "unknown call", "far unknown call", "x32 getpid"], "ENOSYS"),
    **dict.fromkeys(["vsock", "alg", "packet", "raw ip", "netlink netfilter"], "EAFNOSUPPORT"),
}  # fmt: skip
NEVER_DENIED = ["tiocgwinsz", "personality 0", "plain bits", "netlink route", "unix", "tcp", "udp6"]
ALWAYS_ABSENT = {"unknown call", "far unknown call", "x32 getpid", "alg", "vsock"}
"""What a kernel may not have by itself: then there is nothing to show without the filter."""


def ask_the_kernel(plan: CagePlan, *, filtered: bool = True) -> dict[str, str]:
    numbers = json.dumps({name: number(name, plan.host.machine) for name in NUMBERS})
    argv = [plan.host.python, "-I", "-c", KERNEL, numbers]
    with start(plan, argv, filtered=filtered) as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    answers: dict[str, str] = json.loads(out)
    return answers


@pytest.fixture
def plan(tmp_path) -> CagePlan:
    return replace(plan_for(tmp_path, fs=[{"path": "project:/", "mode": "ro"}]), env=())


@pytest.mark.cage
def test_t43_the_kernel_denies_under_the_default_filter(plan: CagePlan) -> None:
    denied = ask_the_kernel(plan)
    reached = ask_the_kernel(plan, filtered=False)
    for name, expected in DENIED_BY_KERNEL.items():
        assert denied[name] == expected, name
        if name not in ALWAYS_ABSENT:
            assert reached[name] != expected, f"{name}: without the filter the kernel answers the same"
    for name in NEVER_DENIED:
        assert denied[name] == reached[name] == "ok", name
    if platform.machine() == "x86_64":
        assert denied["int 0x80"] == "SIGSYS"
        assert reached["int 0x80"] == "ok"


EVERY = r"""
import ctypes, errno, json, os, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
def call(nr):
    r, w = os.pipe()
    if os.fork() == 0:
        ctypes.set_errno(0)
        result = libc.syscall(ctypes.c_long(nr), *[ctypes.c_long(-1)] * 6)
        os.write(w, b"ok" if result >= 0 else errno.errorcode[ctypes.get_errno()].encode())
        os._exit(0)
    os.close(w)
    text = os.read(r, 100).decode()
    os.wait()
    return text
print(json.dumps({name: call(nr) for name, nr in json.loads(sys.argv[1]).items() if nr is not None}))
"""
"""Each call with arguments that mean nothing, so that it does nothing even if it is let through."""


@pytest.mark.cage
@pytest.mark.parametrize("profile", ["default", "relaxed"])
def test_t43_the_kernel_answers_every_listed_call_as_the_tables_say(plan: CagePlan, profile: Profile) -> None:
    machine = plan.host.machine
    listed = {name: number(name, machine) for name in (*seccomp.DENIED, *seccomp.ABSENT)}
    with start(replace(plan, seccomp=profile), [plan.host.python, "-I", "-c", EVERY, json.dumps(listed)]) as done:
        out, err = done.communicate(timeout=60)
    assert done.returncode == 0, err
    answers = json.loads(out)
    assert set(answers) == {name for name, nr in listed.items() if nr is not None}
    for name, answer in answers.items():
        if profile == "relaxed" and name in seccomp.RELAXED:
            # These reach the kernel, which finds fault with the arguments, or lacks the call.
            assert answer != ("ENOSYS" if name in seccomp.ABSENT else "EPERM"), name
        else:
            assert answer == ("EPERM" if name in seccomp.DENIED else "ENOSYS"), name


@pytest.mark.cage
def test_the_relaxed_filter_lets_debuggers_work_and_nothing_else(plan: CagePlan) -> None:
    answers = ask_the_kernel(replace(plan, seccomp="relaxed"))
    assert {answers[name] for name in ("ptrace", "process_vm_readv", "personality")} == {"ok"}
    assert answers["io_uring"] != "ENOSYS"
    still = set(DENIED_BY_KERNEL) - {"ptrace", "process_vm_readv", "personality", "io_uring", "perf"}
    for name in still:
        assert answers[name] == DENIED_BY_KERNEL[name], name
