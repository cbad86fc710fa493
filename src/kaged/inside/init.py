"""Process 1 of a cage: starts commands, reaps and signals them, and does file operations for the keeper, which uses
some of it, too. With `files.py` it is run by the cage's own Python (3.9 or newer), so both import the standard library
only. It speaks `keeper_wire`'s frames over an inherited socket and ends, and the cage with it, when that closes."""

from __future__ import annotations

import fcntl
import os
import resource
import select
import struct
import sys
import termios
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    import socket
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any

    Answer = tuple[dict[str, Any], bytes, int | None]
else:  # what stands behind these modules, without `enum` and `re`, which take longer than all the rest of a start
    import _signal as signal
    import _socket as socket

if TYPE_CHECKING or __package__:  # the keeper's
    from kaged.inside import files
    from kaged.inside.files import Refused, refusal
else:
    sys.path.append(os.path.dirname(sys.argv[0]))
    import files
    from files import Refused, refusal

RLIMIT_LOCKS = 10  # ignored by Linux since 2.4, but inherited by all descendants: labels the processes of a command
_PREFIX = struct.Struct("!II")
_PR_SET_DUMPABLE = 4
_HOLD_S = 0.003  # how long the answer to a start waits for the command's end, so that both are one message
RESET_SIGNALS = [
    signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGCHLD, signal.SIGTERM,
]  # fmt: skip


def _json_codec() -> tuple[Callable[[str], Any], Callable[[Any], str]]:
    """Reading and writing JSON as `json` does it, from the same C functions, for the same reason."""
    try:
        import _json

        fast: Any = _json
        scan = fast.make_scanner(_Scanning)
        encode = fast.make_encoder(None, None, fast.encode_basestring_ascii, None, ":", ",", False, False, False)
    except (ImportError, AttributeError, TypeError):  # another Python than those it was tried with
        import json

        return json.loads, json.dumps
    return lambda text: scan(text, 0)[0], lambda value: "".join(encode(value, 0))


class _Scanning:
    strict = True
    parse_float, parse_int = float, int
    object_hook = object_pairs_hook = parse_constant = None


_loads, _dumps = _json_codec()


def find_program(name: str, env: Mapping[str, str]) -> str:
    """The path `execvp` would take, with the PATH of the command's own environment."""
    if "/" in name:
        return name
    for folder in env.get("PATH", "/usr/local/bin:/usr/bin:/bin").split(":"):
        path = os.path.join(folder or ".", name)
        if os.access(path, os.X_OK) and not os.path.isdir(path):
            return path
    raise Refused("not_found", f"there is no program named {name!r} on the PATH")


def spawn(
    argv: Sequence[str], env: Mapping[str, str], cwd: str, tag: int, fds: Sequence[int], pty: Sequence[int] | None
) -> tuple[int, int | None]:
    """Start a command in a session of its own: its pid and, with `pty`, the PTY's master; else it writes to `fds[0]`
    and reads `fds[1]`, if there is one. The caller is single-threaded: working directory and label go through it."""
    if not argv or not argv[0]:
        raise Refused("bad_request", "the command is empty")
    master = slave = None
    unlabelled = resource.getrlimit(RLIMIT_LOCKS)
    try:
        os.chdir(cwd)
    except OSError as error:
        raise refusal(error, f"the working directory {cwd}") from error
    try:
        resource.setrlimit(RLIMIT_LOCKS, (tag, unlabelled[1]))
        program = find_program(argv[0], env)
        if pty is not None:
            master, slave = os.openpty()
            fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", pty[1], pty[0], 0, 0))
            actions: list[Any] = [(os.POSIX_SPAWN_OPEN, 0, os.ttyname(slave), os.O_RDWR, 0)]
            actions += [(os.POSIX_SPAWN_DUP2, 0, 1), (os.POSIX_SPAWN_DUP2, 0, 2)]
        else:
            actions = _pipes(fds)
        pid = os.posix_spawn(program, list(argv), dict(env), file_actions=actions, setsid=True, setsigdef=RESET_SIGNALS)
    except (OSError, ValueError) as error:
        if master is not None:
            os.close(master)
        raise refusal(error, argv[0]) from error
    finally:
        if slave is not None:
            os.close(slave)
        resource.setrlimit(RLIMIT_LOCKS, unlabelled)
        os.chdir("/")
    return pid, master


def _pipes(fds: Sequence[int]) -> list[Any]:
    if not fds:
        raise Refused("bad_request", "a command without a terminal needs an output pipe")
    first: Any = (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0)
    if len(fds) > 1:
        first = (os.POSIX_SPAWN_DUP2, fds[1], 0)
    return [first, (os.POSIX_SPAWN_DUP2, fds[0], 1), (os.POSIX_SPAWN_DUP2, fds[0], 2)]


def reap() -> Iterator[tuple[int, int | None, int | None]]:
    """Every child that has ended: (pid, exit code or None, signal or None)."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        killed = os.WIFSIGNALED(status)
        yield pid, None if killed else os.WEXITSTATUS(status), os.WTERMSIG(status) if killed else None


def processes() -> dict[int, tuple[int, int]]:
    """Every live process that /proc shows: pid → (parent, session). Zombies are left out."""
    table = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        if fields[0] not in (b"Z", b"X"):
            table[int(name)] = (int(fields[1]), int(fields[3]))
    return table


def label(pid: int) -> int | None:
    """The label of the command that a process belongs to; None when it is gone or not ours to ask."""
    try:
        return resource.prlimit(pid, RLIMIT_LOCKS)[0]
    except (ProcessLookupError, PermissionError):
        return None


def tree(root: int | None, tag: int) -> set[int]:
    """All live processes of a command: by its label, session and descent. `root` is None once that has been reaped."""
    table = processes()
    table.pop(os.getpid(), None)
    members = {pid for pid, (_, session) in table.items() if root in (pid, session) or label(pid) == tag}
    while more := {pid for pid, (parent, _) in table.items() if parent in members} - members:
        members |= more
    return members


def signal_tree(find: Callable[[], set[int]], number: int) -> int:
    """Send a signal to a whole tree; returns how many got it. SIGKILL first freezes it, so none escapes."""
    members = find()
    if number == signal.SIGKILL:
        members, fresh, looks = set(), find(), 64
        while fresh and looks:
            for pid in fresh:
                send_signal(pid, signal.SIGSTOP)
            members |= fresh
            fresh, looks = find() - members, looks - 1
    return sum(send_signal(pid, number) for pid in members)


def send_signal(pid: int, number: int, *, group: bool = False) -> bool:
    """Signal one process or group; False when there is none any more."""
    try:
        (os.killpg if group else os.kill)(pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


class Channel:
    """The socket to the keeper: blocking frames, as in `kaged.core.keeper_wire`."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._buffer = bytearray()
        self._fds: list[int] = []

    def receive(self) -> Iterator[tuple[dict[str, Any], bytes, list[int]]]:
        """The frames that one read completes. Raises EOFError when the keeper is gone."""
        # `socket.recv_fds` would drop the flag, and commands inherit the descriptors
        data, extra, _, _ = self.sock.recvmsg(65536, socket.CMSG_LEN(256), socket.MSG_CMSG_CLOEXEC)
        if not data:
            raise EOFError
        for _, _, raw in extra:
            self._fds += struct.unpack(f"{len(raw) // 4}i", raw[: len(raw) // 4 * 4])
        self._buffer += data
        while len(self._buffer) >= _PREFIX.size:
            head, body = _PREFIX.unpack_from(self._buffer)
            end = _PREFIX.size + head + body
            if len(self._buffer) < end:
                return
            header = _loads(self._buffer[_PREFIX.size : _PREFIX.size + head].decode())
            payload = bytes(self._buffer[_PREFIX.size + head : end])
            del self._buffer[:end]
            count = header.get("fds", 0)
            fds, self._fds = self._fds[:count], self._fds[count:]
            yield header, payload, fds

    def send(self, header: dict[str, Any], payload: bytes = b"", fd: int | None = None) -> None:
        """Send one frame, waiting until the keeper has taken it."""
        if fd is not None:
            header = dict(header, fds=1)
        text = _dumps(header).encode("ascii")
        view = memoryview(_PREFIX.pack(len(text), len(payload)) + text + payload)
        if fd is not None:
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", fd))
            view = view[self.sock.sendmsg([view], [rights]) :]
        self.sock.sendall(view)


class Init:
    """The state of a cage: which child belongs to which command, and which starts are not answered yet."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._tags: dict[int, int] = {}
        self._env: dict[str, str] = {}
        self._nice = 0
        self._held: dict[int, dict[str, Any]] = {}
        self._until = 0.0
        self.watches = files.Watches()

    def handle(self, header: dict[str, Any], payload: bytes, fds: list[int]) -> None:
        """Do one request and answer it; the answer to a start may wait a moment."""
        self.tell_held()
        answer: dict[str, Any] = {"n": header["n"]}
        body, passed = b"", None
        try:
            answer["ok"], body, passed = self._do(header, payload, fds)
        except Refused as error:
            answer["error"] = {"code": error.code, "message": error.message}
        except MemoryError:
            text = "the cage's memory limit leaves no room for this file"
            answer["error"] = {"code": "unavailable", "message": text}
        finally:
            for fd in fds:
                os.close(fd)
        if passed is None and "pid" in answer.get("ok", ()) and header["op"] == "spawn":
            self._held[answer["ok"]["pid"]] = answer
            self._until = time.monotonic() + _HOLD_S
            return
        self._channel.send(answer, body, passed)
        if passed is not None:
            os.close(passed)

    def pause(self) -> float | None:
        """Tell what is due; how many milliseconds may pass until more is."""
        now, changes = time.monotonic(), self.watches.due
        if self._held and self._until <= now:
            self.tell_held()
        if changes and changes <= now:
            for told in self.watches.tell():
                self._channel.send(told)
        due = [at for at in (self._until if self._held else 0.0, self.watches.due) if at]
        return (min(due) - now) * 1000 if due else None

    def tell_held(self) -> None:
        """Answer what waits: these commands go on."""
        while self._held:
            self._channel.send(self._held.popitem()[1])

    def _do(self, header: dict[str, Any], payload: bytes, fds: list[int]) -> Answer:
        op, path = header["op"], header.get("path", "")
        if op == "spawn":
            env = dict(self._env, **header["env"])
            pid, master = spawn(header["argv"], env, header["cwd"], header["tag"], fds, header["pty"])
            self._tags[pid] = header["tag"]
            os.setpriority(os.PRIO_PROCESS, pid, self._nice)
            return {"pid": pid}, b"", master
        if op == "read":
            return (*files.read_file(path, header["limit"]), None)
        if op == "write":
            return files.write_file(path, payload, header["expect"], header["parents"]), b"", None
        if op == "list":
            return files.list_dir(path, header["limit"]), b"", None
        if op == "watch":
            self.watches.add(header["watch"], header["root"], path)
            return {}, b"", None
        if op == "unwatch":
            self.watches.drop(header["watch"])
            return {}, b"", None
        if op == "signal":
            return {"count": self._signal(header["tag"], header["sig"], header["tree"])}, b"", None
        if op == "setup":
            set_limits(header["limits"])
            self._env = header["env"]
            self._nice = header["nice"]
            return {"pid": os.getpid()}, b"", None
        raise Refused("bad_request", f"the cage's init knows no {op!r}")

    def _signal(self, tag: int, number: int, whole: bool) -> int:
        root = next((pid for pid, owner in self._tags.items() if owner == tag), None)
        if whole:
            return signal_tree(lambda: tree(root, tag), number)
        return int(root is not None and send_signal(root, number, group=True))

    def reap(self) -> None:
        """Collect every ended child and report those that are commands."""
        for pid, code, number in reap():
            tag, answer = self._tags.pop(pid, None), self._held.pop(pid, None)
            if answer is not None:
                answer["ok"].update(code=code, signal=number)
                self._channel.send(answer)
            elif tag is not None:
                self._channel.send({"ev": "exit", "tag": tag, "code": code, "signal": number})


def set_limits(limits: Mapping[str, Any]) -> None:
    """Limits for this process and thereby for all commands; never above what the kernel allows now."""
    numbers = {"nofile": resource.RLIMIT_NOFILE, "fsize_bytes": resource.RLIMIT_FSIZE}
    numbers.update(memory_bytes=resource.RLIMIT_DATA, pids=resource.RLIMIT_NPROC, core=resource.RLIMIT_CORE)
    for name, number in numbers.items():
        if (value := 0 if name == "core" else limits.get(name)) is not None:
            hard = resource.getrlimit(number)[1]
            bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(number, (bound, bound))


def main(argv: Sequence[str]) -> None:
    """Serve the keeper until its socket closes. `argv[1]` is the socket's number."""
    if files.libc("prctl", _PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        sys.exit("the cage's init could not hide its memory from the commands")
    number = int(argv[1])
    os.set_inheritable(number, False)
    os.umask(0o022)
    os.chdir("/")
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # the kernel drops it for process 1; Python's would end us
    wake, woken = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    channel = Channel(socket.socket(fileno=number))
    init = Init(channel)
    poll = select.poll()
    for fd in (number, wake):
        poll.register(fd, select.POLLIN)
    while True:
        pause = init.pause()
        if init.watches.fd is not None:  # while changes are gathered, the kernel keeps them
            poll.register(init.watches.fd, 0 if init.watches.due else select.POLLIN)
        ready = dict(poll.poll(pause))
        if init.watches.fd in ready:
            init.watches.gather()
        if wake in ready:
            os.read(wake, 4096)
            init.reap()
        if number in ready:
            for header, payload, fds in channel.receive():
                init.handle(header, payload, fds)


if __name__ == "__main__":
    try:
        main(sys.argv)
    except (EOFError, ConnectionError):
        os._exit(0)
