"""Process 1 of a cage: starts commands, reaps them, signals them, reads and writes files for the keeper. This one
file is bound into the cage and run by the cage's own Python (3.9 or newer), so it imports the standard library only
and nothing of kaged. It speaks `keeper_wire`'s frames over an inherited socket and ends, and the whole cage with it,
when that socket closes. The keeper uses its process functions for the processes it starts itself."""

from __future__ import annotations

import array
import ctypes
import errno
import fcntl
import os
import resource
import select
import stat
import struct
import sys
import termios

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    import socket
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any, BinaryIO

    Answer = tuple[dict[str, Any], bytes, int | None]
else:  # what stands behind these modules, without `enum` and `re`, which take longer than all the rest of a start
    import _signal as signal
    import _socket as socket

RLIMIT_LOCKS = 10
"""Ignored by Linux since 2.4, but inherited by every descendant: it labels the processes of one command."""
FILE_LIMIT = 32 * 1024 * 1024  # largest file, in bytes, that is hashed and handed over whole
_PREFIX = struct.Struct("!II")
_PR_SET_DUMPABLE = 4
RESET_SIGNALS = [signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGCHLD, signal.SIGTERM]


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


class Refused(Exception):
    """An answer that says no: a code of `kaged.core.errors` and a sentence."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


_SENTENCES = {
    errno.ENOENT: ("not_found", "{0} does not exist"),
    errno.EEXIST: ("conflict", "{0} exists already: read it before you replace it"),
    errno.ENOTDIR: ("not_found", "a part of {0} is not a directory"),
    errno.EACCES: ("forbidden", "{0} may not be used by this cage: permission denied"),
    errno.EPERM: ("forbidden", "{0} may not be used by this cage: operation not permitted"),
    errno.EROFS: ("forbidden", "{0} is read-only in this cage"),
    errno.EBUSY: ("forbidden", "{0} is mounted by itself in this cage and cannot be replaced"),
    errno.ELOOP: ("bad_request", "{0} goes through too many symbolic links"),
    errno.ENOSPC: ("unavailable", "the disk that holds {0} is full: make room and try again"),
    errno.EDQUOT: ("unavailable", "the disk quota for {0} is used up: make room and try again"),
    errno.EAGAIN: ("unavailable", "the cage has reached its limit of processes, so {0} was not started"),
    errno.ENOMEM: ("unavailable", "there is not enough memory for {0}"),
}


def refusal(error: OSError | ValueError, subject: str) -> Refused:
    """The sentence for a failed system call on `subject`."""
    if not isinstance(error, OSError):
        return Refused("bad_request", f"{subject!r} cannot be passed on: {error}")
    code, text = _SENTENCES.get(error.errno or 0, ("unavailable", "{0}: " + (error.strerror or str(error))))
    return Refused(code, text.format(subject))


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
    """Start a command in a session of its own; returns its pid and, with `pty`, the PTY's master. Without `pty` it
    writes both its streams to `fds[0]` and reads `fds[1]`, if there is one. The caller must be single-threaded:
    working directory and label go through this process."""
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
            set_size(master, pty[0], pty[1])
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


def set_size(master: int, cols: int, rows: int) -> None:
    """Set a terminal's size."""
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))


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
    """All live processes of one command: its label, its session, and all that descend from these. `root` is None
    once the command itself has been reaped (its number may be somebody else's by then)."""
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


def kind_of(mode: int) -> str:
    """`file`, `dir`, `link` or `other`."""
    return {stat.S_IFREG: "file", stat.S_IFDIR: "dir", stat.S_IFLNK: "link"}.get(stat.S_IFMT(mode), "other")


def read_file(path: str, limit: int) -> tuple[dict[str, Any], bytes]:
    """Facts about a file and its first `limit` bytes. Nothing but regular files is opened."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return _facts(os.stat(path)), b""
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        with os.fdopen(fd, "rb") as file:
            return _contents(file, os.fstat(fd), limit)
    except (FileNotFoundError, NotADirectoryError):
        return {"kind": "missing", "size": 0, "sha256": "", "mtime_ns": 0, "mode": 0}, b""
    except (OSError, ValueError) as error:
        raise refusal(error, path) from error


def _contents(file: BinaryIO, found: os.stat_result, limit: int) -> tuple[dict[str, Any], bytes]:
    import hashlib  # only cages whose files are read pay for it

    if not stat.S_ISREG(found.st_mode):  # replaced since it was looked at
        return _facts(found), b""
    if found.st_size > FILE_LIMIT:
        return _facts(found), file.read(min(limit, FILE_LIMIT))
    data = file.read(FILE_LIMIT + 1)
    digest = hashlib.sha256(data).hexdigest() if len(data) <= FILE_LIMIT else ""
    return dict(_facts(found), size=len(data), sha256=digest), data[: min(limit, FILE_LIMIT)]


def _facts(found: os.stat_result) -> dict[str, Any]:
    mode, kind = stat.S_IMODE(found.st_mode), kind_of(found.st_mode)
    return {"kind": kind, "size": found.st_size, "sha256": "", "mtime_ns": found.st_mtime_ns, "mode": mode}


def write_file(path: str, data: bytes, expect: Any, parents: bool) -> dict[str, Any]:
    """Replace a file in one step. `expect`: "any", None (must be new) or the hash it must have now."""
    import hashlib

    try:
        target = os.path.realpath(path)
        before = _before(target, path, expect)
        folder = os.path.dirname(target)
        if parents:
            os.makedirs(folder, exist_ok=True)
        temporary = f"{folder}/.{os.urandom(8).hex()}.tmp"
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(fd, "wb") as file:
                os.fchmod(fd, 0o644 if before is None else stat.S_IMODE(before.st_mode) & 0o1777)
                file.write(data)
            _replace(temporary, target, before, path, expect)
        except BaseException:
            os.unlink(temporary)
            raise
    except (OSError, ValueError) as error:
        raise refusal(error, path) from error
    return {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "created": before is None}


def _before(target: str, path: str, expect: Any) -> os.stat_result | None:
    facts, _ = read_file(target, 0) if isinstance(expect, str) and expect != "any" else ({}, b"")
    try:
        found = os.stat(target)
    except (FileNotFoundError, NotADirectoryError):
        found = None
    if found is not None and not stat.S_ISREG(found.st_mode):
        raise Refused("bad_request", f"{path} is not a regular file")
    if expect is None and found is not None:
        raise Refused("conflict", f"{path} exists already: read it before you replace it")
    if facts and found is None:
        raise Refused("conflict", f"{path} does not exist any more: it was removed since it was read")
    if facts and facts["sha256"] == "":
        raise Refused("payload_too_large", f"{path} has over {FILE_LIMIT} bytes: change it with a command")
    if facts and facts["sha256"] != expect:
        raise Refused("conflict", f"{path} was changed since it was read: read it again")
    return found


def _replace(temporary: str, target: str, before: os.stat_result | None, path: str, expect: Any) -> None:
    """Put the new file in place, unless the old one changed while it was written."""
    if before is None and expect is None:
        os.link(temporary, target)  # unlike a rename it fails when somebody was faster
        os.unlink(temporary)
        return
    if isinstance(expect, str) and expect != "any" and before is not None:
        now = os.stat(target)
        if (now.st_mtime_ns, now.st_size, now.st_ino) != (before.st_mtime_ns, before.st_size, before.st_ino):
            raise Refused("conflict", f"{path} was changed since it was read: read it again")
    os.rename(temporary, target)


def list_dir(path: str, limit: int) -> dict[str, Any]:
    """The first `limit` names of a directory, sorted, without following links."""
    try:
        names = sorted(os.listdir(path))
    except (OSError, ValueError) as error:
        raise refusal(error, path) from error
    entries = []
    for name in names[:limit]:
        try:
            found = os.lstat(f"{path}/{name}")
        except OSError:  # gone meanwhile, or not to be looked at: what cannot be described is not listed
            continue
        entries.append([name, kind_of(found.st_mode), found.st_size, found.st_mtime_ns])
    return {"entries": entries}


class Channel:
    """The socket to the keeper: blocking frames, as in `kaged.core.keeper_wire`."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._buffer = bytearray()
        self._fds: list[int] = []

    def receive(self) -> Iterator[tuple[dict[str, Any], bytes, list[int]]]:
        """The frames that one read completes. Raises EOFError when the keeper is gone."""
        size = array.array("i").itemsize  # `socket.recv_fds` would drop the flag, and commands inherit the descriptors
        data, extra, _, _ = self.sock.recvmsg(65536, socket.CMSG_LEN(64 * size), socket.MSG_CMSG_CLOEXEC)
        if not data:
            raise EOFError
        for _, _, raw in extra:
            self._fds.extend(array.array("i", raw[: len(raw) - len(raw) % size]))
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
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))
            view = view[self.sock.sendmsg([view], [rights]) :]
        self.sock.sendall(view)


class Init:
    """The state of a cage: which child belongs to which command."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._tags: dict[int, int] = {}

    def handle(self, header: dict[str, Any], payload: bytes, fds: list[int]) -> None:
        """Do one request and answer it."""
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
        self._channel.send(answer, body, passed)
        if passed is not None:
            os.close(passed)

    def _do(self, header: dict[str, Any], payload: bytes, fds: list[int]) -> Answer:
        op, path = header["op"], header.get("path", "")
        if op == "spawn":
            command = header["argv"], header["env"], header["cwd"], header["tag"]
            pid, master = spawn(*command, fds, header["pty"])
            self._tags[pid] = header["tag"]
            return {"pid": pid}, b"", master
        if op == "read":
            return (*read_file(path, header["limit"]), None)
        if op == "write":
            return write_file(path, payload, header["expect"], header["parents"]), b"", None
        if op == "list":
            return list_dir(path, header["limit"]), b"", None
        if op == "signal":
            return {"count": self._signal(header["tag"], header["sig"], header["tree"])}, b"", None
        if op == "setup":
            set_limits(header["limits"])
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
            tag = self._tags.pop(pid, None)
            if tag is not None:
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
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
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
        ready = dict(poll.poll())
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
