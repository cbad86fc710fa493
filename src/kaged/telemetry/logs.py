"""Set logging up once a process: callers put lines on a bounded queue, one thread writes them."""

import logging
import logging.handlers
import os
import queue
import sys
import threading
from pathlib import Path
from typing import TextIO

from kaged.core.errors import ConfigError
from kaged.telemetry.form import JsonForm, ShortForm, digest

QUEUE_LINES = 10_000
"""Lines that may wait for a slow disk; further ones are counted and dropped, never waited for."""

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}
_NOISY = (
    "uvicorn.error",
    "uvicorn.access",
    "uvicorn.error",
    "httpx2",
    "httpcore2",
    "httpx",
    "httpcore",
    "asyncio",
)


class Telemetry:
    """The running log. `close` writes what waits and gives logging back as it was found."""

    def __init__(self, handler: logging.Handler, level: str, *, lines: int = QUEUE_LINES) -> None:
        waiting: queue.Queue[logging.LogRecord | None] = queue.Queue(lines)
        self._door = _Door(waiting, traces=level == "debug")
        self._writer = _Writer(waiting, handler)
        root = logging.getLogger()
        self._before = (root.handlers[:], root.level)
        self._levels = {name: logging.getLogger(name).level for name in _NOISY}
        root.handlers[:] = [self._door]
        root.setLevel(LEVELS[level])
        for name in _NOISY:
            logging.getLogger(name).setLevel(logging.NOTSET if level == "debug" else logging.WARNING)
        logging.captureWarnings(True)
        self._writer.start()

    def close(self) -> None:
        """Write every waiting line, then stop. Blocks until they are written; a second call does nothing."""
        if not self._writer.is_alive():
            return
        logging.captureWarnings(False)
        root = logging.getLogger()
        root.handlers[:], level = self._before
        root.setLevel(level)
        for name, before in self._levels.items():
            logging.getLogger(name).setLevel(before)
        self._writer.finish(self._door.dropped)


def configure(target: str = "stderr", level: str = "info", *, stream: TextIO | None = None) -> Telemetry:
    """Send every log line of this process to `target`: `stderr` or `file:/absolute/path`.

    A file is created 0600 and reopened when it is moved away. `stream` replaces stderr (tests). Raises
    ConfigError when the file cannot be opened.
    """
    if target == "stderr":
        out = sys.stderr if stream is None else stream
        handler: logging.Handler = logging.StreamHandler(out)
        tty = out.isatty()
        handler.setFormatter(ShortForm(colour="NO_COLOR" not in os.environ) if tty else JsonForm())
    else:
        handler = _file(Path(target.removeprefix("file:")))
        handler.setFormatter(JsonForm())
    return Telemetry(handler, level)


def _file(path: Path) -> logging.Handler:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600))
        return logging.handlers.WatchedFileHandler(path, encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"logging.operational: {path} cannot be written: {error.strerror}; name a file that this account "
            'can write, or use "stderr"'
        ) from None


class _Door(logging.Handler):
    """Where every logger's lines enter: never blocks, never fails."""

    def __init__(self, waiting: "queue.Queue[logging.LogRecord | None]", *, traces: bool) -> None:
        super().__init__()
        self._waiting = waiting
        self._traces = traces
        self.dropped = 0

    def emit(self, record: logging.LogRecord) -> None:
        try:
            if self.dropped:
                self._waiting.put_nowait(_dropped(self.dropped))
                self.dropped = 0
            self._waiting.put_nowait(digest(record, traces=self._traces))
        except queue.Full:
            self.dropped += 1


def _dropped(count: int) -> logging.LogRecord:
    return logging.makeLogRecord(
        {
            "name": __name__,
            "levelname": "WARNING",
            "levelno": logging.WARNING,
            "msg": "log lines were dropped because the log could not be written fast enough",
            "dropped": count,
        }
    )


class _Writer(threading.Thread):
    def __init__(self, waiting: "queue.Queue[logging.LogRecord | None]", handler: logging.Handler) -> None:
        super().__init__(name="kaged-log", daemon=True)
        self._waiting = waiting
        self._handler = handler

    def run(self) -> None:
        while (record := self._waiting.get()) is not None:
            self._handler.handle(record)

    def finish(self, dropped: int) -> None:
        self._waiting.put(None)
        self.join()
        if dropped:
            self._handler.handle(_dropped(dropped))
        self._handler.flush()
        if isinstance(self._handler, logging.FileHandler):
            self._handler.close()
