"""The attacks: what no agent may manage, one row each; how one is tried; and `main`, which the trial runs inside."""

from __future__ import annotations

import json
import os
import resource
import socket
import subprocess
import sys
from dataclasses import dataclass
from functools import partial

from . import kernel, ways
from .kernel import filtered, sockets
from .ways import NAMESPACE, NO_FILTER, OPEN_MOUNTS, OUTSIDE, found, makes, on, opens


@dataclass(frozen=True)
class Attack:
    """A row: `name` says what is tried."""

    group: str
    name: str
    ways: ways.Ways
    control: str  # where the same attempt must succeed
    needs: int | None = None  # number of a capability without which that cannot be shown (capabilities(7))
    slow: bool = False  # left out when the daemon starts


LIMITS = "Limits"
NOBODY = 2**22  # No process has that number
DAC_OVERRIDE, DAC_READ_SEARCH, SETUID, SYS_MODULE, SYS_RAWIO, SYS_BOOT, MKNOD = 1, 2, 7, 16, 17, 22, 27
_GROUPS = "Files outside the project", "Protected files", "Processes", "Network and sockets", "Kernel", "Rights", LIMITS
_files, _protected, _processes, _network, _kernel, _rights, _limits = (partial(Attack, group) for group in _GROUPS)

_POLICY, _CONFIG, _HOOK = ".kaged/project.yaml", ".git/config", ".git/hooks/sample"
_MISSING = (
    ".envrc", ".gitmodules", ".vscode/x", ".idea/x", ".git/hooks/x", ".kaged/x", ".git/info/attributes",
    ".git/commondir", ".git/config.worktree",
)  # fmt: skip
_SWITCHES = (
    "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sys/vm/drop_caches", "/proc/sysrq-trigger",
    "/proc/sys/user/max_user_namespaces", "/sys/kernel/uevent_helper", "/sys/fs/cgroup/cgroup.procs",
)  # fmt: skip
_DEVICES = {
    "console", "core", "fd", "full", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout", "tty",
    "urandom", "zero",
}  # fmt: skip
_SETS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")

ATTACKS: tuple[Attack, ...] = (
    _files("read another project", lambda f: opens("r", f.secret)(f), OUTSIDE),
    _files("find what is in homes, /root, /boot, /var/log", lambda f: on(os.lstat, *f.homes)(f), OUTSIDE),
    _files("read passwords", opens("r", "/etc/shadow", "/etc/gshadow"), OUTSIDE, DAC_OVERRIDE),
    _files("leave the project by links, `..` and /proc/*/root",
        lambda f: {**on(ways.write_by_link, f.secret)(f), **opens("r", f"/proc/self/root{f.secret}",
        f"/proc/1/root{f.secret}", "../" * 40 + f.secret)(f)}, OUTSIDE),
    _files("hard-link a file from outside",
        lambda f: on(lambda path: os.link(path, "from-outside"), f.secret, "/usr/bin/env")(f), OUTSIDE),
    _files("write to /, /etc, /var, /run, /home",
        makes("/", "/etc/", "/var/", "/run/", "/run/kaged/", "/home/", "/root/"), OPEN_MOUNTS),
    _files("write to the system's programs",
        makes("/usr/share/", "/usr/", "/usr/bin/", "/usr/lib/", "/bin/", "/usr/local/bin/"), OPEN_MOUNTS),
    _files("write to /dev", makes("/dev/"), OPEN_MOUNTS),
    _files("write to /proc",
        opens("w", "/proc/self/oom_score_adj", "/proc/self/coredump_filter", "/proc/1/oom_score_adj"), OPEN_MOUNTS),
    _files("turn kernel switches (core_pattern, modprobe, sysrq)", opens("w", *_SWITCHES), OPEN_MOUNTS, DAC_OVERRIDE),
    _files("find sysfs, cgroups or debugfs", on(os.listdir, "/sys", "/sys/fs/cgroup", "/sys/kernel/debug"), OUTSIDE),
    _files("find a disk or another device",
        found(lambda _: sorted(set(os.listdir("/dev")) - _DEVICES), "null, zero, random and terminals only"), OUTSIDE),
    _files("make a device", on(ways.make_device, "device-020000", "device-060000"), OUTSIDE, MKNOD),
    _files("read the kernel's memory or messages",
        opens("rb", "/proc/kcore", "/proc/kmsg", "/dev/mem", "/dev/kmsg"), OUTSIDE, SYS_RAWIO),
    _protected("change the policy, git's configuration, a hook", opens("a", _POLICY, _CONFIG, _HOOK), OPEN_MOUNTS),
    _protected("make a missing one (.envrc, a hook, .gitmodules)", makes(*_MISSING), OPEN_MOUNTS),
    _protected("write through a symbolic link", on(ways.write_by_link, _POLICY, _CONFIG), OPEN_MOUNTS),
    _protected("put a symbolic link in its place",
        on(ways.become_link, _HOOK, ".git/info", ".vscode", ".envrc", ".git/hooks"), OPEN_MOUNTS),
    _protected("write under a second name (hard link)",
        on(lambda path: os.link(path, "second-name"), _POLICY, _CONFIG), OPEN_MOUNTS),
    _protected("put another file in its place",
        on(partial(os.rename, "plain"), _POLICY, _CONFIG, ".envrc", ".gitmodules"), OPEN_MOUNTS),
    _protected("give git a configuration the way git does",
        on(ways.replace_as_git_does, _CONFIG, ".gitmodules"), OPEN_MOUNTS),
    _protected("move the folder around it away",
        on(lambda path: os.rename(path, "moved"), ".git/hooks", ".git", ".kaged"), OPEN_MOUNTS),
    _processes("see a process of this machine",
        found(lambda f: ways.processes("cmdline", f"\0{f.mark}\0"), "only the cage's own"), OUTSIDE),
    _processes("share a namespace with this machine",
        found(lambda f: [k for k, link in f.namespaces.items() if os.readlink(f"/proc/self/ns/{k}") == link],
        "all seven are the cage's own"), OUTSIDE),
    _processes("stop the keeper or another process", ways.stopped, OUTSIDE),
    _processes("stop or end the cage's first process", ways.init_ended, OUTSIDE),
    _processes("open memory, descriptors, environment of that one", ways.init_opened, OUTSIDE),
    _processes("have code loaded into it",
        makes("/etc/ld.so.preload", "/run/kaged/json.py", "/run/kaged/sitecustomize.py"), OPEN_MOUNTS),
    _processes("trace, read or write another process's memory",
        filtered(ptrace=(16, NOBODY, 0, 0), process_vm_readv=(NOBODY, 0, 0, 0, 0, 0),
        process_vm_writev=(NOBODY, 0, 0, 0, 0, 0), kcmp=(NOBODY, NOBODY, 0, 0, 0), process_madvise=(-1, 0, 0, 0, 0),
        move_pages=(NOBODY, 0, 0, 0, 0, 0)), NO_FILTER),
    _processes("take another process's descriptor", filtered(pidfd_getfd=(-1, 0, 0)), NO_FILTER),
    _processes("find the daemon's secrets in an environment",
        found(lambda _: ways.processes("environ", "KAGED_"), "no environment holds any"), OUTSIDE),
    _processes("use a descriptor that was left open",
        found(lambda _: [
            fd for fd in os.listdir("/proc/self/fd") if int(fd) > 2 and os.path.lexists(f"/proc/self/fd/{fd}")
        ], "0, 1 and 2 only"), OUTSIDE),
    _network("reach servers at a path (keeper, daemon, docker, D-Bus)",
        lambda f: kernel.streams(socket.AF_UNIX, f.sockets[1:]), OUTSIDE),
    _network("reach a server without a path (abstract socket)",
        lambda f: kernel.streams(socket.AF_UNIX, f.sockets[:1]), OUTSIDE),
    _network("connect by TCP",
        lambda f: kernel.streams(socket.AF_INET, [(host, f.ports["tcp4"]) for host in f.hosts]), OUTSIDE),
    _network("connect by TCP over IPv6", kernel.tcp6, OUTSIDE),
    _network("send datagrams", lambda f: kernel.datagrams(f.ports["udp"], f.hosts), OUTSIDE),
    _network("find a network interface",
        found(lambda _: [name for _, name in socket.if_nameindex() if name != "lo"], "lo is the only one",
        "this machine has no other interface"), OUTSIDE),
    _network("change routes", kernel.routes, NAMESPACE),
    _network("reach the cloud's metadata and private networks", kernel.metadata, NAMESPACE),
    _network("ask for names (DNS)", kernel.names, NAMESPACE),
    _network("open raw and packet sockets", sockets(raw=(2, 3, 1), raw_IPv6=(10, 3, 58), packet=(17, 3, 0)), NAMESPACE),
    _network("reach the hypervisor (AF_VSOCK)", kernel.vsock, NO_FILTER),
    _network("speak netlink beyond routes",
        sockets(netfilter=(16, 3, 12), audit=(16, 3, 9), events=(16, 3, 15), generic=(16, 3, 16), diagnosis=(16, 3, 4)),
        NO_FILTER),
    _kernel("mount and unmount", kernel.mounts, NAMESPACE),
    _kernel("mount with the newer calls",
        filtered(fsopen=(0, -1), fsconfig=(-1, 99, 0, 0, 0), fsmount=(-1, -1, 0), fspick=(-1, 0, -1),
        open_tree=(-1, 0, -1), move_mount=(-1, 0, -1, 0, -1), mount_setattr=(-1, 0, -1, 0, 0),
        open_tree_attr=(-1, 0, -1, 0, 0), statmount=(0, 0, 0, -1), listmount=(0, 0, 0, -1)), NAMESPACE),
    _kernel("change the root (chroot, pivot_root)", filtered(chroot=(0,), pivot_root=(0, 0)), NAMESPACE),
    _kernel("make namespaces (unshare, clone, clone3)",
        filtered(unshare=(1,), clone=(0x10000211, 0, 0, 0, 0), clone3=(0, 0)), NO_FILTER),
    _kernel("join a namespace (setns)", filtered(setns=(-1, 0)), NO_FILTER),
    _kernel("make a cage inside the cage",
        ways.commands("bwrap --ro-bind / / true", "unshare -Ur true"), OUTSIDE, slow=True),
    _kernel("use the kernel's keyring",
        filtered(keyctl=(9999,), add_key=(0, 0, 0, 0, 0), request_key=(0, 0, 0, 0)), NO_FILTER),
    _kernel("load BPF programs", filtered(bpf=(9999, 0, 0)), NO_FILTER),
    _kernel("watch the machine (perf_event_open)", filtered(perf_event_open=(0, 0, 0, 0, -1)), NO_FILTER),
    _kernel("handle page faults (userfaultfd)", filtered(userfaultfd=(1,)), NO_FILTER),
    _kernel("go around the filter (io_uring)",
        filtered(io_uring_setup=(0, 0), io_uring_enter=(-1, 0, 0, 0, 0, 0), io_uring_register=(-1, 0, 0, 0)),
        NO_FILTER),
    _kernel("load modules",
        filtered(init_module=(0, 0, 0), finit_module=(-1, 0, -1), delete_module=(0, 0)), OUTSIDE, SYS_MODULE),
    _kernel("load another kernel",
        filtered(kexec_load=(0, 0, 0, -1), kexec_file_load=(-1, -1, 0, 0, -1)), OUTSIDE, SYS_BOOT),
    _kernel("restart the machine", filtered(reboot=(0, 0, 0, 0)), NAMESPACE),
    _kernel("use calls of another architecture (i386, x32, 32-bit ARM)", kernel.foreign_calls, NO_FILTER),
    _kernel("set the clock", filtered(clock_settime=(0, 0), settimeofday=(1, 0)), NO_FILTER),
    _kernel("set the machine's name", filtered(sethostname=(0, -1), setdomainname=(0, -1)), NAMESPACE),
    _kernel("open files by handle", filtered(open_by_handle_at=(-1, 0, 0)), OUTSIDE, DAC_READ_SEARCH),
    _kernel("swap, quotas, memory nodes",
        filtered(swapon=(0, -1), quotactl=(0, 0, 0, 0), mbind=(1, 0, 0, 0, 0, 0), set_mempolicy=(99, 0, 0)), NO_FILTER),
    _kernel("switch protections off (personality)", filtered(personality=(0x40000,)), NO_FILTER),
    _kernel("type into a terminal (TIOCSTI, TIOCLINUX)", kernel.terminal, NO_FILTER),
    _rights("hold a capability",
        found(lambda _: [name for name in _SETS if ways.status(name)], "all five sets are empty"), NAMESPACE),
    _rights("run without the filter or no_new_privs",
        found(lambda _: [name for name, on_ in (("Seccomp", 2), ("NoNewPrivs", 1)) if ways.status(name) != on_],
        "the filter is on, new privileges are off"), NO_FILTER),
    _rights("make a set-user-id file", kernel.set_user_id, NO_FILTER),
    _rights("become root or somebody else",
        lambda f: {**{f"account {n}": ways.in_child(partial(os.setresuid, n, n, n)) for n in (1, 65534, 0)},
        **ways.commands("sudo -n true")(f)}, OUTSIDE, SETUID),
    _limits("dump core", ways.beyond(resource.RLIMIT_CORE, 1 << 20, ways.dump_core), OUTSIDE),
    _limits("fill memory through /dev/shm, /tmp or the home",
        on(lambda path: ways.grow(path, (64 if path[:5] == "/dev/" else 256) << 20 | 4096), "/dev/shm/large",
        "/tmp/large", "/home/agent/large"), OPEN_MOUNTS),
    _limits("write a file of more than 4 GiB",
        ways.beyond(resource.RLIMIT_FSIZE, (4 << 30) + 1, lambda: ways.grow("large", (4 << 30) + 1, hole=True)),
        OUTSIDE),
    _limits("open more than 4096 files",
        ways.beyond(resource.RLIMIT_NOFILE, 4096 + 64, ways.in_child(
            lambda: [os.open("/dev/null", os.O_RDONLY) for _ in range(4097)])), OUTSIDE, slow=True),
)  # fmt: skip


def attempt(attack: Attack, facts: ways.Facts) -> tuple[str, str]:
    """Try every way until one gets through: `through`, `denied`, `not here` or `broken` (by itself), and words."""
    refusals: list[str] = []
    try:
        if attack.needs is not None and facts.where != ways.CAGE and not facts.capabilities >> attack.needs & 1:
            raise ways.NotHere("this account lacks the rights")
        for way, work in attack.ways(facts).items():
            try:
                result = work()
            except (ways.Denied, OSError, ValueError, subprocess.SubprocessError) as error:
                refusals.append(_reason(error))
            else:
                return "through", f"{way}: {result}" if isinstance(result, str) else way
    except ways.NotHere as error:
        return "not here", str(error)
    except Exception as error:  # noqa: BLE001  told to the outside, where it counts as inconclusive
        return "broken", repr(error)
    return "denied", ", ".join(dict.fromkeys(refusals))


def _reason(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        return (error.stderr.decode("utf-8", "replace").strip() or "the program failed").splitlines()[-1].lower()
    if isinstance(error, OSError) and error.errno is not None:
        return (error.strerror or os.strerror(error.errno)).lower()
    return str(error)


def main() -> None:
    """Try the rows whose numbers are the arguments, with the facts from standard input: a JSON line for each."""
    facts = ways.Facts(**json.load(sys.stdin))
    for attack in (ATTACKS[int(index)] for index in sys.argv[1:]):
        outcome, words = attempt(attack, facts)
        print(json.dumps({"attack": attack.name, "outcome": outcome, "words": words}), flush=True)  # noqa: T201
