"""Files below a folder, read and written without ever leaving it, whatever an agent puts there meanwhile: the kernel
resolves names (`openat2` with RESOLVE_BENEATH), so no link, swapped in at whatever moment, leads to the host's files.
Everything refused is KagedError bad_request with a sentence."""

import ctypes
import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import islice
from pathlib import Path

from kaged.core.errors import KagedError

MOST = 20_000  # entries of a folder that are listed
_OPENAT2 = 437
_RESOLVE_NO_MAGICLINKS, _RESOLVE_NO_SYMLINKS, _RESOLVE_BENEATH = 0x02, 0x04, 0x08
_libc = ctypes.CDLL(None, use_errno=True)


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def _open(folder: int, name: str, flags: int, *, links: bool) -> int:
    resolve = _RESOLVE_BENEATH | _RESOLVE_NO_MAGICLINKS | (0 if links else _RESOLVE_NO_SYMLINKS)
    how = _OpenHow(flags | os.O_CLOEXEC, 0, resolve)
    call, size = ctypes.c_long(_OPENAT2), ctypes.c_size_t(ctypes.sizeof(how))
    result: int = _libc.syscall(call, ctypes.c_int(folder), os.fsencode(name), ctypes.byref(how), size)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), name)
    return result


@contextmanager
def _folder(root: Path) -> Iterator[int]:
    descriptor = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def read_text(root: Path, name: str, *, max_bytes: int) -> str | None:
    """The text of the file `name` below `root`; None when there is no such file. Links are followed as long as they
    stay below. Refused: what is not a regular file, leads out, is longer than `max_bytes`, not UTF-8 or unreadable."""
    found = read_bytes(root, name, max_bytes=max_bytes + 1, links=True)
    if found is None:
        return None
    _, data = found
    if len(data) > max_bytes:
        raise KagedError("bad_request", f"{name}: is longer than {max_bytes // 1024} KiB")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise KagedError("bad_request", f"{name}: is not UTF-8 text (byte {error.start})") from None


def read_bytes(root: Path, name: str, *, max_bytes: int, links: bool = False) -> tuple[os.stat_result, bytes] | None:
    """Facts about the file `name` below `root`, and how it begins; None when there is none. Refused: a link, unless
    `links`, and the rest as above."""
    try:
        with _folder(root) as folder:
            # Not blocking: opening a FIFO would otherwise wait for its writer.
            descriptor = _open(folder, name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY, links=links)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise KagedError("bad_request", f"{name}: {_reason(error)}") from None
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        raise KagedError("bad_request", f"{name}: is not a regular file")
    with os.fdopen(descriptor, "rb") as file:
        return found, file.read(max_bytes)


def list_folder(root: Path, name: str) -> list[tuple[str, os.stat_result]] | None:
    """What is in the folder `name` below `root`, links as such, of a huge one a part; None when there is none."""
    try:
        with _folder(root) as top:
            descriptor = _open(top, name or ".", os.O_RDONLY | os.O_DIRECTORY, links=False)
        try:
            with os.scandir(descriptor) as entries:
                return [(entry.name, entry.stat(follow_symlinks=False)) for entry in islice(entries, MOST)]
        finally:
            os.close(descriptor)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise KagedError("bad_request", f"{name}: {_reason(error)}") from None


def create_text(root: Path, name: str, text: str) -> bool:
    """Write a new file `name` below `root`, making its folders; False when it exists already. Follows no link."""
    try:
        with _parent(root, name) as folder:
            _write(folder, name.rpartition("/")[2], text)
    except FileExistsError:
        return False
    return True


def replace_text(
    root: Path, name: str, text: str, *, mode: int = 0o644, still: Callable[[], bool] = lambda: True
) -> bool:
    """Put a file in the place of `name` below `root`, in one step, unless that is not as it was `still`. Follows no
    link."""
    temporary = f".{os.urandom(8).hex()}.tmp"
    with _parent(root, name) as folder:
        try:
            _write(folder, temporary, text)
            os.chmod(temporary, mode, dir_fd=folder)
            if still():
                os.rename(temporary, name.rpartition("/")[2], src_dir_fd=folder, dst_dir_fd=folder)
                return True
        finally:
            with suppress(FileNotFoundError):  # it has its place
                os.unlink(temporary, dir_fd=folder)
    return False


@contextmanager
def _parent(root: Path, name: str) -> Iterator[int]:
    """The folder of `name`, made if need be; errors of the system in the block are refusals, except that it exists."""
    try:
        with _folder(root) as top, ExitStack() as opened:
            folder = top
            for part in name.split("/")[:-1]:
                with suppress(FileExistsError):
                    os.mkdir(part, 0o755, dir_fd=folder)
                folder = _open(folder, part, os.O_PATH | os.O_DIRECTORY, links=False)
                opened.callback(os.close, folder)
            yield folder
    except FileExistsError:
        raise
    except OSError as error:
        raise KagedError("bad_request", f"{root / name}: cannot be written: {_reason(error)}") from None


def _write(folder: int, name: str, text: str) -> None:
    descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644, dir_fd=folder)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(descriptor)


def _reason(error: OSError) -> str:
    if error.errno == errno.EXDEV:
        return "leads out of the project"
    if error.errno == errno.ELOOP:
        return "is or passes through a symbolic link"
    return (error.strerror or "cannot be opened").lower()
