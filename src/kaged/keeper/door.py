"""The one spawn door, for the main thread only: `--die-with-parent` follows the thread that started the cage."""

import contextlib
import marshal
import os
import pwd
import resource
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib._bootstrap_external import MAGIC_NUMBER  # importlib.util loads for long
from typing import Any

from kaged.core.gate_wire import GATE_VERSION
from kaged.core.keeper_wire import KeeperError
from kaged.inside import files, init, netns
from kaged.keeper.plan import Plan
from kaged.keeper.processes import Command

_PR_SET_CHILD_SUBREAPER = 36
_SYSTEM_PATH = "/usr/bin:/bin:/usr/local/bin:/usr/sbin:/sbin"
_HOST_ENV = ("PATH", "LANG", "HOME", "TERM")
_GATE_ENV = ("SSL_CERT_FILE", "SSL_CERT_DIR")


@dataclass(frozen=True, slots=True)
class Started:
    """A bwrap that waits at its block-fd; the holder owns all descriptors."""

    pid: int
    info: int
    block: int
    errors: int
    channel: socket.socket


def find(name: str) -> str:
    """Path of a program of the system; empty when it is not installed."""
    folders = f"{_SYSTEM_PATH}:{os.environ.get('PATH', '')}".split(":")
    paths = (f"{folder}/{name}" for folder in folders if folder)
    return next((path for path in paths if os.access(path, os.X_OK)), "")


@cache
def compiled() -> dict[str, bytes]:
    """The cage's init and what it imports as files of byte code for Pythons of our own version."""
    modules: dict[str, Any] = {"init": init, "files": files}
    codes = {name: module.__loader__.get_code(module.__name__) for name, module in modules.items()}
    return {name: bytes(MAGIC_NUMBER) + bytes(12) + marshal.dumps(code) for name, code in codes.items()}


def start_cage(plan: Plan, authority: Mapping[str, bytes]) -> Started:
    """Start bwrap for a plan; `authority` adds to its data. Its init runs only after a byte on `block`."""
    if not (bwrap := find("bwrap")):
        raise KeeperError("unavailable", "bubblewrap is not installed: install the package `bubblewrap`")
    data = {**compiled(), **authority, **plan.data}
    with contextlib.ExitStack() as given, contextlib.ExitStack() as kept:
        info = _pipe(read_into=kept, write_into=given)
        block = _pipe(read_into=given, write_into=kept)
        errors = _pipe(read_into=kept, write_into=given)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        kept.enter_context(ours)
        given.enter_context(theirs)
        words = []
        inherited = [info[1], block[0], theirs.fileno()]
        for arg in plan.args:
            if isinstance(arg, dict):
                name = arg.get("data", "")
                inherited.append(_memory_file(data.get(name), name, given))
                words.append(str(inherited[-1]))
            else:
                words.append(arg)
        words += ["--info-fd", str(info[1]), "--block-fd", str(block[0]), "--as-pid-1", ""]
        arguments = _memory_file("\0".join(words).encode("utf-8", "surrogateescape"), "args", given)
        for fd in [*inherited, arguments]:
            os.set_inheritable(fd, True)
        command = [bwrap, "--args", str(arguments), "--", *plan.init, str(theirs.fileno())]
        pid = _spawn(command, errors[1], {})
        os.set_blocking(info[0], False)
        os.set_blocking(errors[0], False)
        kept.pop_all()
    return Started(pid, info[0], block[1], errors[0], ours)


def start_gate(main: str, site: str) -> tuple[int, socket.socket]:
    """Start the gate with the operator's trusted authorities as its environment: its pid, and our end of its socket."""
    ours, theirs = socket.socketpair()
    with theirs:
        theirs.set_inheritable(True)
        command = [sys.executable, "-I", "-S", main, "--fd", str(theirs.fileno())]
        command += ["--wire", str(GATE_VERSION), "--site", site]
        try:
            trusted = {name: os.environ[name] for name in _GATE_ENV if name in os.environ}
            return _spawn(command, 2, trusted), ours
        except KeeperError:
            ours.close()
            raise


def _spawn(command: list[str], errors: int, more: Mapping[str, str]) -> int:
    # Whatever is in bwrap's environment can be read inside a cage, from /proc/1/environ: so there is nothing.
    env = {"PATH": "/usr/bin:/bin", **more}
    null = (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDWR, 0)
    actions: list[Any] = [null, (os.POSIX_SPAWN_DUP2, 0, 1), (os.POSIX_SPAWN_DUP2, errors, 2)]
    try:
        return os.posix_spawn(command[0], command, env, file_actions=actions, setsigdef=init.RESET_SIGNALS)
    except OSError as error:
        raise KeeperError("unavailable", f"{command[0]} could not be started: {error.strerror}") from error


def _pipe(*, read_into: contextlib.ExitStack, write_into: contextlib.ExitStack) -> tuple[int, int]:
    read, write = os.pipe()
    read_into.callback(os.close, read)
    write_into.callback(os.close, write)
    return read, write


def _memory_file(data: bytes | None, name: str, owner: contextlib.ExitStack) -> int:
    if data is None:
        raise KeeperError("bad_request", f"the plan names data {name!r} that it does not hold")
    fd = os.memfd_create("kaged-cage", os.MFD_CLOEXEC)
    owner.callback(os.close, fd)
    with os.fdopen(os.dup(fd), "wb") as file:
        file.write(data)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


class HostDoor:
    """Starts the uncaged kinds: host terminals and commands that an admin switched on."""

    def __init__(self) -> None:
        self._nofile = resource.getrlimit(resource.RLIMIT_NOFILE)

    def start(self, command: Command, tag: int, fds: Sequence[int]) -> tuple[int, int | None]:
        """As `init.spawn`, from a clean environment and with the limits this process began with."""
        ours = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, self._nofile)
        try:
            return init.spawn(command.argv, {**host_env(), **command.env}, command.cwd, tag, fds, command.pty)
        except files.Refused as error:
            raise KeeperError(error.code, error.message) from error
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, ours)


def host_env() -> dict[str, str]:
    """The environment every uncaged process starts from: an allow-list and what the account says."""
    env = {name: os.environ[name] for name in _HOST_ENV if name in os.environ}
    try:
        account = pwd.getpwuid(os.geteuid())
    except KeyError:  # an account without a name: containers do that
        return env
    names = {"USER": account.pw_name, "LOGNAME": account.pw_name, "SHELL": account.pw_shell or "/bin/sh"}
    return {"HOME": account.pw_dir, **env, **names}


def prepare() -> HostDoor:
    """Called once, first: orphans come to us, so that an end leaves no process; each process takes up to five files."""
    words = "the keeper could not become the reaper of its descendants"
    netns.libc("prctl", _PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0, words=words)
    door = HostDoor()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    bound = 65536 if hard == resource.RLIM_INFINITY else min(hard, 65536)
    resource.setrlimit(resource.RLIMIT_NOFILE, (bound, hard))
    return door
