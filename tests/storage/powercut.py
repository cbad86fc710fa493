"""A disk whose power can be cut: an SQLite VFS that knows which writes were synced.

Files are written through to a real folder, so the program under test sees what an operating system would
show it. Beside that each file keeps what a sync made certain and the writes since. A cut is a picture of the
disk at that instant: what is certain, plus some of the rest, torn at sector borders.
"""

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import apsw

SECTOR = 512
_LOGS = apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_SUPER_JOURNAL


@dataclass
class Image:
    """One file: its certain bytes (None while not even its name is) and the changes since the last sync."""

    certain: bytearray | None = None
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)
    """(offset, bytes) of a write, or (size, None) of a truncation."""


def apply(target: bytearray, offset: int, data: bytes | None) -> None:
    """One change, as a file system makes it."""
    if data is None:
        del target[offset:]
        return
    if len(target) < offset:
        target.extend(bytes(offset - len(target)))
    target[offset : offset + len(data)] = data


class Disk(apsw.VFS):
    """The VFS, registered under `name`. `on_change` is called before every write, truncation and sync."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.images: dict[str, Image] = {}
        self.removed: dict[str, Image] = {}
        self.on_change: Callable[[], None] = lambda: None
        self.syncs = 0
        self._lock = threading.RLock()
        super().__init__(name, "")

    def xOpen(self, name, flags):
        return File(self, name, flags)

    def xDelete(self, filename, syncdir):
        self.on_change()
        super().xDelete(filename, syncdir)
        with self._lock:
            image = self.images.pop(Path(filename).name, None)
            if image is not None:
                self.removed[Path(filename).name] = image
            if syncdir:
                self.removed.clear()

    def image(self, name: str, *, is_log: bool) -> Image:
        with self._lock:
            if name not in self.images:
                self.images[name] = Image(certain=None if is_log else bytearray())
            return self.images[name]

    def change(self, image: Image, offset: int, data: bytes | None) -> None:
        self.on_change()
        with self._lock:
            image.pending.append((offset, data))

    def sync(self, image: Image) -> None:
        self.on_change()
        with self._lock:
            self.syncs += 1
            if image.certain is None:  # SQLite syncs the folder of a new log: names become certain, too.
                image.certain = bytearray()
                self.removed.clear()
            for offset, data in image.pending:
                apply(image.certain, offset, data)
            image.pending.clear()

    def cut(self, choose: random.Random) -> dict[str, bytes]:
        """The files found when the power comes back."""
        found: dict[str, bytes] = {}
        with self._lock:
            resurrected = {name: image for name, image in self.removed.items() if choose.random() < 0.5}
            for name, image in {**resurrected, **self.images}.items():
                if image.certain is None and choose.random() < 0.5:
                    continue
                content = bytearray(image.certain or b"")
                for offset, data in _survivors(image.pending, choose):
                    apply(content, offset, data)
                found[name] = bytes(content)
        return found


class File(apsw.VFSFile):
    """One open file of a `Disk`."""

    def __init__(self, disk: Disk, name, flags) -> None:
        self._disk = disk
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        self._image = disk.image(Path(path).name, is_log=bool(flags[0] & _LOGS)) if path else Image()
        super().__init__("", name, flags)

    def xWrite(self, data, offset):
        self._disk.change(self._image, offset, bytes(data))
        super().xWrite(data, offset)

    def xTruncate(self, newsize):
        self._disk.change(self._image, newsize, None)
        super().xTruncate(newsize)

    def xSync(self, flags):
        self._disk.sync(self._image)


def _survivors(pending: list[tuple[int, bytes | None]], choose: random.Random) -> list[tuple[int, bytes | None]]:
    """Those of the un-synced changes that reached the disk: none, all, the first few, or any sectors."""
    pieces = [piece for offset, data in pending for piece in _sectors(offset, data)]
    kind = choose.choice(["none", "all", "prefix", "subset"])
    if kind == "none":
        return []
    if kind == "prefix":
        return pieces[: choose.randint(0, len(pieces))]
    if kind == "subset":
        share = choose.random()
        return [piece for piece in pieces if choose.random() < share]
    return pieces


def _sectors(offset: int, data: bytes | None) -> list[tuple[int, bytes | None]]:
    if data is None:
        return [(offset, None)]
    pieces: list[tuple[int, bytes | None]] = []
    start = 0
    while start < len(data):
        end = min(len(data), start + SECTOR - (offset + start) % SECTOR)
        pieces.append((offset + start, data[start:end]))
        start = end
    return pieces
