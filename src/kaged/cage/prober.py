"""Runs inside a cage and tries what must not work; prints one JSON object of findings.

Read as text and given to the cage's own Python (3.9 or newer, standard library only). Each try answers
None when the cage held, else one sentence of what was possible.
"""

from __future__ import annotations

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
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

CLONE_NEWUSER = 0x10000000
SIGCHLD = 17
TIOCSTI = 0x5412
_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


class Prober:
    """All tries; `given` is what the outside tells: paths, numbers, addresses."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.given = given
        self.project = given["project"]

    # -- helpers --------------------------------------------------------------------------------------

    def _call(self, name: str, *args: int) -> str:
        """The result of a raw system call: `ok` or the error's name."""
        ctypes.set_errno(0)
        words = [ctypes.c_ulong(arg & (2**64 - 1)) for arg in args]
        result = _libc.syscall(ctypes.c_long(self.given["numbers"][name]), *words)
        if name == "clone" and result == 0:
            os._exit(0)
        return "ok" if result >= 0 else errno.errorcode[ctypes.get_errno()]

    def _expect(self, wanted: str, tries: dict[str, str]) -> str | None:
        wrong = [f"{name} answered {result}" for name, result in tries.items() if result != wanted]
        return "; ".join(wrong) if wrong else None

    @staticmethod
    def _worked(
        tries: dict[str, Callable[[], object]], instead: tuple[type[BaseException], ...]
    ) -> str | None:
        """What did not fail although everything must."""
        worked = []
        for name, work in tries.items():
            try:
                work()
            except instead:
                continue
            worked.append(name)
        return "possible: " + ", ".join(worked) if worked else None

    # -- what the start gate asks ---------------------------------------------------------------------

    def files_outside(self) -> str | None:
        seen = [path for path in self.given["outside"] if os.path.lexists(path)]
        return "visible: " + ", ".join(seen) if seen else None

    def project_is_usable(self) -> str | None:
        for place in (self.project, "/tmp", "/home/agent", "/dev/shm"):
            path = Path(place) / "written"
            path.write_text("from inside")
            path.unlink()
        return None

    def protected_files(self) -> str | None:
        policy, hook, config = (
            f"{self.project}/.kaged",
            f"{self.project}/.git/hooks",
            f"{self.project}/.git/config",
        )
        return self._worked(
            {
                "change the policy": partial(open, f"{policy}/project.yaml", "a"),
                "replace the policy": partial(os.rename, f"{self.project}/plain", f"{policy}/project.yaml"),
                "move the policy away": partial(os.rename, policy, f"{self.project}/elsewhere"),
                "link the policy": partial(os.link, f"{policy}/project.yaml", f"{self.project}/linked"),
                "make a git hook": partial(open, f"{hook}/pre-commit", "w"),
                "change git's configuration": partial(open, config, "a"),
                "replace git's configuration": partial(os.rename, f"{self.project}/plain", config),
                "move the repository away": partial(os.rename, f"{self.project}/.git", f"{self.project}/g"),
                "make .envrc": partial(open, f"{self.project}/.envrc", "w"),
                "make editor tasks": partial(open, f"{self.project}/.vscode/tasks.json", "w"),
            },
            (OSError,),
        )

    def system_is_read_only(self) -> str | None:
        places = ("/", "/usr", "/etc", "/dev", "/run", "/var", "/home", "/run/kaged", "/proc/sys/kernel")
        return self._worked(
            {f"write below {place}": partial(open, f"{place}/kaged-probe", "w") for place in places},
            (OSError,),
        )

    def network(self) -> str | None:
        names = [name for _, name in socket.if_nameindex()]
        if names != ["lo"]:
            return "interfaces: " + ", ".join(names)
        targets = [("127.0.0.1", self.given["port"]), ("192.0.2.1", 53), ("169.254.169.254", 80)]
        return self._worked(
            {f"connect to {host}:{port}": partial(_connect, (host, port)) for host, port in targets},
            (OSError,),
        )

    def sockets_of_the_host(self) -> str | None:
        paths = [
            self.given["socket"], "\0" + self.given["abstract"], "/run/docker.sock", "/var/run/docker.sock",
            "/run/podman/podman.sock", "/run/containerd/containerd.sock", "/run/systemd/private",
            "/run/dbus/system_bus_socket", "/tmp/.X11-unix/X0",
        ]  # fmt: skip
        return self._worked(
            {path.replace("\0", "@"): partial(_connect_unix, path) for path in paths}, (OSError,)
        )

    def processes_of_the_host(self) -> str | None:
        shared = [
            name
            for name, outside in self.given["namespaces"].items()
            if str(Path(f"/proc/self/ns/{name}").readlink()) == outside
        ]
        if shared:
            return "shares with the host: " + ", ".join(shared)
        count = len(_processes())
        return f"{count} processes are visible" if count > 8 else None

    def environment(self) -> str | None:
        secret = self.given["environ"].encode()
        for process in _processes():
            try:
                content = (process / "environ").read_bytes()
            except OSError:
                continue
            if secret in content or b"KAGED_" in content:
                return f"{process}/environ shows the daemon's environment"
        return None

    def mounts_and_namespaces(self) -> str | None:
        tries = {
            "mount": self._call("mount", 0, 0, 0, 0, 0),
            "umount2": self._call("umount2", 0, 0),
            "fsopen": self._call("fsopen", 0, 0),
            "open_tree": self._call("open_tree", -1, 0, 0),
            "move_mount": self._call("move_mount", -1, 0, -1, 0, 0),
            "pivot_root": self._call("pivot_root", 0, 0),
            "chroot": self._call("chroot", 0),
            "unshare": self._call("unshare", CLONE_NEWUSER),
            "clone": self._call("clone", CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0),
            "setns": self._call("setns", -1, 0),
        }
        return self._expect("EPERM", tries) or self._expect("ENOSYS", {"clone3": self._call("clone3", 0, 0)})

    def other_processes_memory(self) -> str | None:
        nobody = 2**22  # no process has that number: without the filter the answer is ESRCH
        tries = {
            "ptrace": self._call("ptrace", 16, nobody, 0, 0),
            "process_vm_readv": self._call("process_vm_readv", nobody, 0, 0, 0, 0, 0),
            "process_vm_writev": self._call("process_vm_writev", nobody, 0, 0, 0, 0, 0),
            "pidfd_getfd": self._call("pidfd_getfd", -1, 0, 0),
        }
        return self._expect("EPERM", tries) or self._worked(
            {"open /proc/1/mem": partial(open, "/proc/1/mem", "rb")}, (OSError,)
        )

    def terminal_injection(self) -> str | None:
        """On one's own controlling terminal, where the kernel itself would allow it."""
        tries = {"TIOCSTI": TIOCSTI, "TIOCSTI with high bits": TIOCSTI | 1 << 32}
        return self._expect("EPERM", {name: self._inject(request) for name, request in tries.items()})

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
        denied = {
            "keyctl": self._call("keyctl", 9999),
            "add_key": self._call("add_key", 0, 0, 0, 0, 0),
            "bpf": self._call("bpf", 9999, 0, 0),
            "perf_event_open": self._call("perf_event_open", 0, 0, 0, 0, 0),
            "userfaultfd": self._call("userfaultfd", 1),
            "personality": self._call("personality", 0x40000),
        }
        sockets = {
            "AF_VSOCK": self._call("socket", 40, 1, 0),
            "AF_PACKET": self._call("socket", 17, 2, 0),
            "netfilter netlink": self._call("socket", 16, 3, 12),
        }
        absent = {"io_uring_setup": self._call("io_uring_setup", 0, 0)}
        return (
            self._expect("EPERM", denied)
            or self._expect("EAFNOSUPPORT", sockets)
            or self._expect("ENOSYS", absent)
        )

    def privileges(self) -> str | None:
        lines = Path("/proc/self/status").read_text().splitlines()
        status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
        wrong = [name for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb") if int(status[name], 16)]
        if status["NoNewPrivs"] != "1":
            wrong.append("NoNewPrivs")
        if status["Seccomp"] != "2":
            wrong.append("Seccomp")
        return "not as they must be: " + ", ".join(wrong) if wrong else None

    def set_user_id(self) -> str | None:
        path = Path("/tmp/set-user-id")
        path.touch()
        return self._worked({"chmod 4755": partial(os.chmod, path, 0o4755)}, (PermissionError,))

    def descriptors(self) -> str | None:
        extra = []
        for entry in list(Path("/proc/self/fd").iterdir()):
            try:
                target = str(entry.readlink())
            except FileNotFoundError:  # the listing's own
                continue
            if int(entry.name) > 2:
                extra.append(f"{entry.name} → {target}")
        return "open: " + ", ".join(extra) if extra else None

    # -- more, for `doctor --attacks` -----------------------------------------------------------------

    def ways_around_paths(self) -> str | None:
        secret = self.given["outside"][0]
        link = Path(self.project) / "way-out"
        link.symlink_to(secret)
        try:
            return self._worked(
                {
                    "a symbolic link out": partial(open, link),
                    "/proc/self/root": partial(open, f"/proc/self/root{secret}"),
                    "/proc/1/root": partial(open, f"/proc/1/root{secret}"),
                    "/proc/1/cwd": partial(os.listdir, "/proc/1/cwd"),
                    "dots": partial(open, f"{self.project}/{'../' * 40}{secret}"),
                    "a hard link to a system file": partial(os.link, "/usr/bin/env", f"{self.project}/env"),
                },
                (OSError,),
            )
        finally:
            link.unlink()

    def devices(self) -> str | None:
        tries: dict[str, Callable[[], object]] = {}
        for place in (self.project, "/tmp"):
            for kind, mode in (("character", 0o020600), ("block", 0o060600)):
                path = f"{place}/{kind}-device"
                tries[f"make {path}"] = partial(os.mknod, path, mode, os.makedev(1, 1))
        for name in ("mem", "kmsg", "sda", "vda", "kvm", "fuse", "net/tun"):
            tries[f"open /dev/{name}"] = partial(open, f"/dev/{name}", "rb")
        return self._worked(tries, (OSError,))

    def kernel_switches(self) -> str | None:
        paths = (
            "/proc/sysrq-trigger", "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe",
            "/proc/sys/vm/drop_caches", "/proc/sys/user/max_user_namespaces", "/sys/kernel/uevent_helper",
            "/sys/fs/cgroup/cgroup.procs", "/proc/1/oom_score_adj",
        )  # fmt: skip
        return self._worked({path: partial(open, path, "w") for path in paths}, (OSError,))

    def raising_limits(self) -> str | None:
        wanted = (resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC, resource.RLIMIT_DATA, resource.RLIMIT_CORE)
        names = ("open files", "processes", "memory", "core files")
        tries: dict[str, Callable[[], object]] = {}
        for name, number in zip(names, wanted):  # noqa: B905  Python 3.9 has no strict
            hard = resource.getrlimit(number)[1]
            if hard != resource.RLIM_INFINITY:
                tries[name] = partial(resource.setrlimit, number, (hard + 1, hard + 1))
        return self._worked(tries, (OSError, ValueError)) if tries else "no limit is set"

    def a_cage_in_the_cage(self) -> str | None:
        commands = ("unshare -Ur true", "unshare -rm true", "bwrap --bind / / true")
        return self._worked({command: partial(_run, command) for command in commands}, _FAILED)

    def becoming_root(self) -> str | None:
        tries: dict[str, Callable[[], object]] = {}
        for number in (0, 1, 65534):
            tries[f"setuid {number}"] = partial(os.setresuid, number, number, number)
        tries["sudo"] = partial(_run, "sudo -n true")
        return self._worked(tries, _FAILED)

    def datagrams_and_names(self) -> str | None:
        return self._worked(
            {
                "send a datagram": partial(_send, ("192.0.2.1", 53)),
                "send an IPv6 datagram": partial(_send, ("2001:db8::1", 53)),
                "look a name up": partial(socket.getaddrinfo, "example.com", 80),
            },
            (OSError,),
        )


_FAILED = (OSError, subprocess.CalledProcessError)


def _run(command: str) -> None:
    subprocess.run(command.split(), check=True, capture_output=True)


def _processes() -> list[Path]:
    return [path for path in Path("/proc").iterdir() if path.name.isdigit()]


def _connect(address: tuple[str, int]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.settimeout(2)
        sock.connect(address)


def _connect_unix(path: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(2)
        sock.connect(path)


def _send(address: tuple[str, int]) -> None:
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"x", address)


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
