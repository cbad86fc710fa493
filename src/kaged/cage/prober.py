"""Runs inside a cage and tries what must not work; prints one JSON object of findings.

Read as text and given to the cage's own Python (3.9 or newer, standard library only). Each try answers
None when the cage held, else one sentence of what was possible.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import json
import os
import resource
import socket
import subprocess
import sys
import termios
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

CLONE_NEWUSER = 0x10000000
SIGCHLD = 17
TIOCSTI = 0x5412
NOBODY = 2**22
"""No process has that number: without the filter the answer is ESRCH."""

CALLS: dict[str, dict[str, dict[str, tuple[int, ...]]]] = {
    "mounts_and_namespaces": {
        "EPERM": {
            "mount": (0, 0, 0, 0, 0), "umount2": (0, 0), "fsopen": (0, 0), "open_tree": (-1, 0, 0),
            "move_mount": (-1, 0, -1, 0, 0), "pivot_root": (0, 0), "chroot": (0,),
            "unshare": (CLONE_NEWUSER,), "clone": (CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0), "setns": (-1, 0),
        },
        "ENOSYS": {"clone3": (0, 0)},
    },
    "other_processes_memory": {
        "EPERM": {
            "ptrace": (16, NOBODY, 0, 0), "process_vm_readv": (NOBODY, 0, 0, 0, 0, 0),
            "process_vm_writev": (NOBODY, 0, 0, 0, 0, 0), "pidfd_getfd": (-1, 0, 0),
        },
    },
    "kernel_interfaces": {
        "EPERM": {
            "keyctl": (9999,), "add_key": (0, 0, 0, 0, 0), "bpf": (9999, 0, 0),
            "perf_event_open": (0, 0, 0, 0, 0), "userfaultfd": (1,), "personality": (0x40000,),
        },
        "ENOSYS": {"io_uring_setup": (0, 0)},
    },
}  # fmt: skip
"""By try: system calls and the one answer that they may give."""

SOCKETS = {"AF_VSOCK": (40, 1, 0), "AF_PACKET": (17, 2, 0), "netfilter netlink": (16, 3, 12)}
REFUSED = (OSError, ValueError, subprocess.CalledProcessError)
Tries = dict[str, Callable[[], object]]

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def listed(what: str, found: list[str]) -> str | None:
    """A finding, when there is anything in the list."""
    return f"{what}: {', '.join(found)}" if found else None


def possible(tries: Mapping[str, Callable[[], object]]) -> str | None:
    """What did not fail although everything must."""
    worked = []
    for name, work in tries.items():
        try:
            work()
        except REFUSED:
            continue
        worked.append(name)
    return listed("possible", worked)


def opened(paths: Iterable[str], mode: str) -> Tries:
    """One try for each path: to open it."""
    return {f"open {path} ({mode})": partial(open, path, mode) for path in paths}


class Prober:
    """All tries; `given` is what the outside tells: paths, numbers, addresses."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.given = given
        self.project = given["project"]

    def _call(self, name: str, *args: int) -> str:
        """The result of a raw system call: `ok` or the error's name."""
        ctypes.set_errno(0)
        words = [ctypes.c_ulong(arg & (2**64 - 1)) for arg in args]
        result = _libc.syscall(ctypes.c_long(self.given["numbers"][name]), *words)
        if name == "clone" and result == 0:
            os._exit(0)
        return "ok" if result >= 0 else errno.errorcode[ctypes.get_errno()]

    def _calls(self, what: str) -> str | None:
        answers = [
            (name, wanted, self._call(name, *args))
            for wanted, calls in CALLS[what].items()
            for name, args in calls.items()
        ]
        return listed("answered", [f"{name} {got}" for name, wanted, got in answers if got != wanted])

    # -- what the start gate asks ---------------------------------------------------------------------

    def files_outside(self) -> str | None:
        return listed("visible", [path for path in self.given["outside"] if os.path.lexists(path)])

    def project_is_usable(self) -> str | None:
        for place in (self.project, "/tmp", "/home/agent", "/dev/shm"):
            path = Path(place) / "written"
            path.write_text("from inside")
            path.unlink()
        return None

    def protected_files(self) -> str | None:
        project, policy, git = self.project, f"{self.project}/.kaged", f"{self.project}/.git"
        made = (f"{git}/hooks/pre-commit", f"{project}/.envrc", f"{project}/.vscode/tasks.json")
        return possible(
            {
                **opened((f"{policy}/project.yaml", f"{git}/config"), "a"),
                **opened(made, "w"),
                "replace the policy": partial(os.rename, f"{project}/plain", f"{policy}/project.yaml"),
                "move the policy away": partial(os.rename, policy, f"{project}/elsewhere"),
                "link the policy": partial(os.link, f"{policy}/project.yaml", f"{project}/linked"),
                "replace git's configuration": partial(os.rename, f"{project}/plain", f"{git}/config"),
                "move the repository away": partial(os.rename, git, f"{project}/g"),
            }
        )

    def system_is_read_only(self) -> str | None:
        places = ("/", "/usr", "/etc", "/dev", "/run", "/var", "/home", "/run/kaged", "/proc/sys/kernel")
        return possible(opened([f"{place}/kaged-probe" for place in places], "w"))

    def network(self) -> str | None:
        names = [name for _, name in socket.if_nameindex() if name != "lo"]
        targets = [("127.0.0.1", self.given["port"]), ("192.0.2.1", 53), ("169.254.169.254", 80)]
        tries = {f"connect to {target}": partial(_connect, socket.AF_INET, target) for target in targets}
        return listed("interfaces", names) or possible(tries)

    def sockets_of_the_host(self) -> str | None:
        paths = [
            self.given["socket"], "\0" + self.given["abstract"], "/run/docker.sock", "/var/run/docker.sock",
            "/run/podman/podman.sock", "/run/containerd/containerd.sock", "/run/systemd/private",
            "/run/dbus/system_bus_socket", "/tmp/.X11-unix/X0",
        ]  # fmt: skip
        return possible({path.replace("\0", "@"): partial(_connect, socket.AF_UNIX, path) for path in paths})

    def processes_of_the_host(self) -> str | None:
        outside = self.given["namespaces"].items()
        shared = [name for name, link in outside if str(Path(f"/proc/self/ns/{name}").readlink()) == link]
        visible = [path.name for path in _processes()]
        return listed("shared with the host", shared) or listed("visible", visible[8:])

    def environment(self) -> str | None:
        for process in _processes():
            with contextlib.suppress(OSError):
                if b"KAGED_" in (process / "environ").read_bytes():
                    return f"{process}/environ shows the daemon's environment"
        return None

    def mounts_and_namespaces(self) -> str | None:
        return self._calls("mounts_and_namespaces")

    def other_processes_memory(self) -> str | None:
        return self._calls("other_processes_memory") or possible(opened(["/proc/1/mem"], "rb"))

    def terminal_injection(self) -> str | None:
        """On one's own controlling terminal, where the kernel itself would allow it."""
        answers = [self._inject(request) for request in (TIOCSTI, TIOCSTI | 1 << 32)]
        return listed("answered", answers) if answers != ["EPERM", "EPERM"] else None

    def _inject(self, request: int) -> str:
        read, write = os.pipe()
        if os.fork() == 0:
            os.setsid()
            slave = os.openpty()[1]
            fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
            key = ctypes.create_string_buffer(b"x")
            os.write(write, self._call("ioctl", slave, request, ctypes.addressof(key)).encode())
            os._exit(0)
        os.close(write)
        result = os.read(read, 100).decode()
        os.close(read)
        os.wait()
        return result

    def kernel_interfaces(self) -> str | None:
        made = [name for name, args in SOCKETS.items() if self._call("socket", *args) != "EAFNOSUPPORT"]
        return self._calls("kernel_interfaces") or listed("sockets", made)

    def privileges(self) -> str | None:
        lines = Path("/proc/self/status").read_text().splitlines()
        status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
        wanted = {**dict.fromkeys(("CapPrm", "CapEff", "CapBnd", "CapAmb"), 0), "NoNewPrivs": 1, "Seccomp": 2}
        return listed("wrong", [name for name, value in wanted.items() if int(status[name], 16) != value])

    def set_user_id(self) -> str | None:
        path = Path("/tmp/set-user-id")
        path.touch()
        return possible({"chmod 4755": partial(os.chmod, path, 0o4755)})

    def descriptors(self) -> str | None:
        found = [path for path in Path("/proc/self/fd").iterdir() if int(path.name) > 2]
        # The listing's own is gone by now.
        return listed("open", [f"{path.name} → {path.resolve()}" for path in found if os.path.lexists(path)])

    # -- more, for `doctor --attacks` -----------------------------------------------------------------

    def ways_around_paths(self) -> str | None:
        secret = self.given["outside"][0]
        link = Path(self.project) / "way-out"
        link.symlink_to(secret)
        ways = (
            link,
            f"/proc/self/root{secret}",
            f"/proc/1/root{secret}",
            f"{self.project}/{'../' * 40}{secret}",
        )
        try:
            return possible(
                {
                    **opened(map(str, ways), "r"),
                    "/proc/1/cwd": partial(os.listdir, "/proc/1/cwd"),
                    "a hard link to a system file": partial(os.link, "/usr/bin/env", f"{self.project}/env"),
                }
            )
        finally:
            link.unlink()

    def devices(self) -> str | None:
        names = ("mem", "kmsg", "sda", "vda", "kvm", "fuse", "net/tun")
        tries = opened([f"/dev/{name}" for name in names], "rb")
        for place in (self.project, "/tmp"):
            for kind, mode in (("character", 0o020600), ("block", 0o060600)):
                path = f"{place}/{kind}-device"
                tries[f"make {path}"] = partial(os.mknod, path, mode, os.makedev(1, 1))
        return possible(tries)

    def kernel_switches(self) -> str | None:
        paths = (
            "/proc/sysrq-trigger", "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe",
            "/proc/sys/vm/drop_caches", "/proc/sys/user/max_user_namespaces", "/sys/kernel/uevent_helper",
            "/sys/fs/cgroup/cgroup.procs", "/proc/1/oom_score_adj",
        )  # fmt: skip
        return possible(opened(paths, "w"))

    def raising_limits(self) -> str | None:
        tries: Tries = {}
        for name in ("RLIMIT_NOFILE", "RLIMIT_NPROC", "RLIMIT_DATA", "RLIMIT_CORE"):
            number = getattr(resource, name)
            hard = resource.getrlimit(number)[1]
            if hard != resource.RLIM_INFINITY:
                tries[name] = partial(resource.setrlimit, number, (hard + 1, hard + 1))
        return possible(tries) if tries else "no limit is set"

    def a_cage_in_the_cage(self) -> str | None:
        commands = ("unshare -Ur true", "unshare -rm true", "bwrap --bind / / true")
        return possible({command: partial(_run, command) for command in commands})

    def becoming_root(self) -> str | None:
        tries: Tries = {f"setuid {n}": partial(os.setresuid, n, n, n) for n in (0, 1, 65534)}
        return possible({**tries, "sudo": partial(_run, "sudo -n true")})

    def datagrams_and_names(self) -> str | None:
        return possible(
            {
                "send a datagram": partial(_send, socket.AF_INET, "192.0.2.1"),
                "send an IPv6 datagram": partial(_send, socket.AF_INET6, "2001:db8::1"),
                "look a name up": partial(socket.getaddrinfo, "example.com", 80),
            }
        )


def _run(command: str) -> None:
    subprocess.run(command.split(), check=True, capture_output=True)


def _processes() -> list[Path]:
    return [path for path in Path("/proc").iterdir() if path.name.isdigit()]


def _connect(family: int, address: Any) -> None:
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.settimeout(2)
        sock.connect(address)


def _send(family: int, host: str) -> None:
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"x", (host, 53))


def main(given: dict[str, Any]) -> None:
    """Run the tries that are asked for by name; a try that breaks counts as one that found something."""
    prober = Prober(given)
    found: dict[str, str | None] = {}
    for name in given["tries"]:
        try:
            found[name] = getattr(prober, name)()
        except Exception as error:  # noqa: BLE001  told to the outside as a failed check
            found[name] = f"could not be tried: {error!r}"
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
