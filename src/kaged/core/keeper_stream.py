"""The output of one process in a memory file. Bytes are moved by `splice` from the source (a pipe, or a PTY through a
staging pipe), and in the same call the kernel moves the file's own position, which counts all bytes ever taken. All
three are shared, so whoever reads may be killed between any two instructions: nothing is lost, nothing comes twice.
What is older than the capacity is given back as a hole; offsets never wrap. Standard library only."""

import array
import errno
import fcntl
import mmap
import os
import termios

from kaged.core.keeper_wire import RING_CAPACITY

SLACK = 1024 * 1024
ROUNDS = 16  # Reads of one wake-up: enough for throughput, few enough that others get their turn
_PTY_READ = 4096
_PIPE_READ = 1024 * 1024
_PAGE = mmap.PAGESIZE


class Stream:
    """Ring and source of one process. Exactly one holder in all processes may call `pump` at a time. Owns the
    descriptors it is given. `head` counts bytes since the process began; `start` is the oldest offset still readable;
    `ended` says that the source has given its last byte (`error`: why, if it was not its own end). An ended source
    stays open until `close_source`, since whoever watches it has to stop watching first: its file lives on in other
    processes, and so would an epoll entry."""

    def __init__(
        self, ring: int, source: int | None, stage: tuple[int, int] | None = None, capacity: int = RING_CAPACITY
    ) -> None:
        self.ring, self.source, self.stage, self.capacity = ring, source, stage, capacity
        self.head = 0
        self.ended = source is None
        self.error: str | None = None
        self.refresh()
        self._trimmed = max(0, self.head - capacity - 4 * SLACK) // _PAGE * _PAGE

    @classmethod
    def create(cls, source: int, *, pty: bool, capacity: int = RING_CAPACITY) -> "Stream":
        """A new ring for a non-blocking source that this object owns from now on."""
        stage = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC) if pty else None
        return cls(os.memfd_create("kaged-ring", os.MFD_CLOEXEC), source, stage, capacity)

    @property
    def start(self) -> int:
        return max(0, self.head - self.capacity)

    def refresh(self) -> None:
        """Learn the head from the file itself, after somebody else read the source."""
        self.head = os.lseek(self.ring, 0, os.SEEK_CUR)

    def waiting(self) -> int:
        """Bytes that a pipe holds and the ring does not yet (0 once ended)."""
        if self.source is None or self.ended:
            return 0
        count = array.array("i", [0])
        fcntl.ioctl(self.source, termios.FIONREAD, count)
        return count[0]

    def pump(self, rounds: int = ROUNDS) -> int:
        """Move what is there, without blocking; returns the bytes moved. Sets `ended` at the end."""
        if self.source is None or self.ended:
            return 0
        before = self.head
        self.ended = self._pump_pty(rounds) if self.stage else self._pump_pipe(rounds)
        self._trim()
        return self.head - before

    def _pump_pipe(self, rounds: int) -> bool:
        for _ in range(rounds):
            moved = self._splice(self.source, self.ring, _PIPE_READ)
            if moved is None:
                return False
            if moved == 0:
                return True
            self.head += moved
        return False

    def _pump_pty(self, rounds: int) -> bool:
        assert self.stage is not None
        self._flush_stage()
        over = False
        for _ in range(rounds):
            moved = self._splice(self.source, self.stage[1], _PTY_READ)
            if not moved:
                over = moved == 0
                break
        self._flush_stage()
        return over

    def _flush_stage(self) -> None:
        assert self.stage is not None
        while moved := self._splice(self.stage[0], self.ring, _PIPE_READ):
            self.head += moved

    def _splice(self, source: int | None, target: int, count: int) -> int | None:
        # Bytes moved; 0 at the end; None when nothing can be moved now.
        assert source is not None
        try:
            return os.splice(source, target, count, flags=os.SPLICE_F_NONBLOCK | os.SPLICE_F_MOVE)
        except BlockingIOError:
            return None
        except OSError as error:
            if error.errno != errno.EIO:  # EIO: the last slave of a PTY was closed
                self.error = error.strerror
            return 0

    def _trim(self) -> None:
        if self.head - self._trimmed < self.capacity + SLACK:
            return
        end = (self.head - self.capacity) // _PAGE * _PAGE
        with mmap.mmap(self.ring, end - self._trimmed, offset=self._trimmed) as old:
            old.madvise(mmap.MADV_REMOVE)
        self._trimmed = end

    def read(self, after: int, limit: int) -> tuple[int, bytes]:
        """Up to `limit` bytes from offset `after`, or from `start` when that is gone: (offset, bytes)."""
        offset = max(after, self.start)
        if offset >= self.head or limit <= 0:
            return offset, b""
        return offset, os.pread(self.ring, min(limit, self.head - offset), offset)

    def close_source(self) -> None:
        """Stop reading for good; the caller has stopped watching."""
        self.ended = True
        for fd in (self.source, *(self.stage or ())):
            if fd is not None:
                os.close(fd)
        self.source = self.stage = None

    def close(self) -> None:
        self.close_source()
        if self.ring >= 0:
            os.close(self.ring)
            self.ring = -1
