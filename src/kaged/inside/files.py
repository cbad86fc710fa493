"""Files of a cage, for its init: read, written, listed and watched inside. Bound into the cage beside `init.py`."""

from __future__ import annotations

import errno
import os
import stat
import struct
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

FILE_LIMIT = 32 * 1024 * 1024  # largest file, in bytes, that is hashed and handed over whole
MOST_WATCHES, MOST_NAMES, MOST_READS, GATHER_S = 256, 256, 16, 0.05
"""Folders of a cage that are watched at a time, names in one message, and how long changes are gathered for it."""
_ONLY_DIR = 0x01000000
_GONE = 0x8000 | 0x2000 | 0x800 | 0x400  # IN_IGNORED, IN_UNMOUNT, IN_MOVE_SELF, IN_DELETE_SELF
_CHANGES = 0x2 | 0x4 | 0x8 | 0x40 | 0x80 | 0x100 | 0x200 | 0x400 | 0x800  # written, attributes, moved, made, deleted
_OVERFLOW = 0x4000
_EVENT = struct.Struct("iIII")


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
    if not isinstance(error, OSError):
        return Refused("bad_request", f"{subject!r} cannot be passed on: {error}")
    code, text = _SENTENCES.get(error.errno or 0, ("unavailable", "{0}: " + (error.strerror or str(error))))
    return Refused(code, text.format(subject))


def kind_of(mode: int) -> str:
    """`file`, `dir`, `link` or `other`."""
    return {stat.S_IFREG: "file", stat.S_IFDIR: "dir", stat.S_IFLNK: "link"}.get(stat.S_IFMT(mode), "other")


def read_file(path: str, limit: int) -> tuple[dict[str, Any], bytes]:
    """Facts about a file and its first `limit` bytes. Nothing but regular files is opened."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return _facts(os.stat(path)), b""
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        try:
            return _contents(fd, os.fstat(fd), limit)
        finally:
            os.close(fd)
    except (FileNotFoundError, NotADirectoryError):
        return {"kind": "missing", "size": 0, "sha256": "", "mtime_ns": 0, "mode": 0}, b""
    except (OSError, ValueError) as error:
        raise refusal(error, path) from error


def _contents(fd: int, found: os.stat_result, limit: int) -> tuple[dict[str, Any], bytes]:
    import hashlib  # only cages whose files are read pay for it

    if not stat.S_ISREG(found.st_mode):  # replaced since it was looked at
        return _facts(found), b""
    whole = found.st_size <= FILE_LIMIT
    pieces, left = [], FILE_LIMIT + 1 if whole else min(limit, FILE_LIMIT)
    while left and (piece := os.read(fd, min(found.st_size + 4096, left))):
        pieces.append(piece)
        left -= len(piece)
    data = b"".join(pieces)
    if not whole:
        return _facts(found), data
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


def libc(name: str, *values: int | bytes) -> int:
    """Call a function of the C library. `ctypes` itself, which only dresses these, takes long to load."""
    library: Any = None  # the program itself, which has all of it
    try:
        import _ctypes as c

        return int(c.call_function(c.dlsym(c.dlopen(library, 0), name), values))
    except (ImportError, AttributeError, TypeError):  # another Python than those it was tried with
        import ctypes

        return int(getattr(ctypes.CDLL(None), name)(*values))


def open_beneath(root: str, path: str) -> int:
    """A folder at or below `root`, without following any link on the way."""
    flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
    parts = [part for part in os.path.relpath(path, root).split("/") if part != "."]
    if ".." in parts:
        raise Refused("forbidden", f"{path} is not below {root}: only what is can be watched")
    here = -1
    try:
        here = os.open(root, flags)
        for part in parts:
            above, here = here, os.open(part, flags | os.O_NOFOLLOW, dir_fd=here)
            os.close(above)
    except (OSError, ValueError) as error:
        if here >= 0:
            os.close(here)
        raise refusal(error, path) from error
    return here


class Watches:
    """Folders that are watched: what changes in them is gathered for a moment, and told by name; whoever is told that
    something was lost lists the folder again. `fd` is readable when the kernel has changes, None before the first."""

    def __init__(self) -> None:
        self.fd: int | None = None
        self.due = 0.0  # when to tell; 0: nothing to tell
        self._numbers: dict[int, set[int]] = {}

    def add(self, number: int, root: str, path: str) -> None:
        """Watch a folder under a number that the keeper chose."""
        if sum(map(len, self._numbers.values())) >= MOST_WATCHES:
            raise Refused("unavailable", f"{MOST_WATCHES} folders of this cage are watched already: end some of that")
        folder = open_beneath(root, path)
        try:
            if self.fd is None:
                self.fd = libc("inotify_init1", os.O_NONBLOCK | os.O_CLOEXEC)
            kind = libc("inotify_add_watch", self.fd, b"/proc/self/fd/%d" % folder, _CHANGES | _ONLY_DIR)
        finally:
            os.close(folder)
        if kind < 0:
            raise Refused("unavailable", f"{path} cannot be watched: raise fs.inotify.max_user_watches")
        self._numbers.setdefault(kind, set()).add(number)

    def drop(self, number: int | None) -> None:
        """Watch it no more; None: nothing any more. Unknown ones are fine."""
        for kind, numbers in list(self._numbers.items()):
            numbers.difference_update(list(numbers) if number is None else [number])
            if not numbers:
                del self._numbers[kind]
                libc("inotify_rm_watch", self.fd or 0, kind)

    def gather(self) -> None:
        """There is something to read: let more come, and tell it soon."""
        self.due = self.due or time.monotonic() + GATHER_S

    def tell(self) -> list[dict[str, Any]]:
        """What has changed, a message for each folder that is watched."""
        self.due = 0.0
        changed: dict[int, dict[str, Any]] = {}
        for data in self._read():
            at = 0
            while at < len(data):
                kind, mask, _, size = _EVENT.unpack_from(data, at)
                at += _EVENT.size + size
                name = data[at - size : at].rstrip(b"\0")
                for one in self._numbers if mask & _OVERFLOW else [kind]:
                    for number in self._numbers.get(one, ()):
                        told = changed.setdefault(number, {"watch": number, "names": {}, "lost": False, "gone": False})
                        told["gone"] |= bool(mask & _GONE)
                        told["lost"] |= bool(mask & _OVERFLOW) or len(told["names"]) >= MOST_NAMES
                        if name and not told["lost"]:
                            told["names"][os.fsdecode(name)] = None
                if mask & _GONE and self._numbers.pop(kind, None) and not mask & 0x8000:
                    libc("inotify_rm_watch", self.fd or 0, kind)  # moved away: it is somewhere else now
        return [
            dict(told, ev="changed", names=[] if told["lost"] else list(told["names"])) for told in changed.values()
        ]

    def _read(self) -> Iterator[bytes]:
        for _ in range(MOST_READS):
            try:
                yield os.read(self.fd or 0, 65536)
            except BlockingIOError:
                return
