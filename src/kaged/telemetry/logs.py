"""The log, set up once a process: callers put lines on a bounded queue, one thread writes them. And what keeps secrets
out of its lines and of records: registered values, what looks like a credential, what a key calls one."""

import json
import logging
import logging.handlers
import math
import os
import queue
import re
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from kaged.core import clock
from kaged.core.errors import ConfigError
from kaged.telemetry.tail import Tail

QUEUE_LINES = 10_000  # Lines that may wait for a slow disk; further ones are counted and dropped, never waited for
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}
_NOISY = ("uvicorn.error", "uvicorn.access", "httpx2", "httpcore2", "httpx", "httpcore", "asyncio")
_COLOURS = {"debug": "2", "warn": "33", "error": "31"}

REDACTED = "[redacted]"
SHORTEST = 8  # A registered value shorter than this is ignored: replacing it would garble ordinary words
_secrets: set[str] = set()
_NAMES = r"nonce|token|secret|passw(?:or)?d|api[_-]?key|x-api-key|x-kaged-client|cookie|kaged_session\w*"
_names_secret = re.compile(
    r"(?i)(^|[_\-.\s])(api[_-]?key|token|secret|password|passwd|passphrase|nonce|authorization|cookie"
    r"|credentials?|private[_-]?key)$"
).search  # of a key: `api_key`, `X-Auth-Nonce`; not `api_key_env`
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_ASSIGNED = re.compile(r"(?i)\b((?:token|key|secret|password)=)[\w.~%+-]+")
_LOOKS = (
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{8,}"), r"\1 " + REDACTED),
    (re.compile(r"\b(?:sk-[\w-]{16,}|gh[pousr]_\w{20,}|xox[abpr]-[\w-]{10,}|AKIA[0-9A-Z]{16})"), REDACTED),
    (re.compile(r"\beyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]*"), REDACTED),
    (re.compile(rf"(?i)((?:{_NAMES})['\"]?\s*[=:]\s*['\"]?)[^\s'\",;&]{{4,}}"), r"\1" + REDACTED),
    (re.compile(r"(://)[^/\s:@]+:[^/\s@]+@"), r"\1" + REDACTED + "@"),
)


class Telemetry:
    """The running log. `close` writes what waits and gives logging back as it was found."""

    def __init__(self, handler: logging.Handler, level: str, *, lines: int = QUEUE_LINES) -> None:
        waiting: queue.Queue[Any] = queue.Queue(lines)
        self._door = _Door(waiting, traces=level == "debug")
        self.tail = Tail()
        self._writer = _Writer(waiting, self.tail, handler)
        self._handler = handler
        self._closed = False
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
        if self._closed:
            return
        self._closed = True
        logging.captureWarnings(False)
        root = logging.getLogger()
        root.handlers[:], level = self._before
        root.setLevel(level)
        for name, before in self._levels.items():
            logging.getLogger(name).setLevel(before)
        self._writer.stop()
        if self._door.dropped:
            self._handler.handle(_dropped(self._door.dropped))
        self._handler.flush()
        if isinstance(self._handler, logging.FileHandler):
            self._handler.close()


def configure(target: str = "stderr", level: str = "info", *, stream: TextIO | None = None) -> Telemetry:
    """Send every log line to `target`: `stderr`, or `file:/absolute/path` (created 0600, reopened when moved away).
    `stream` replaces stderr (tests). Raises ConfigError when the file cannot be opened."""
    if target == "stderr":
        out = sys.stderr if stream is None else stream
        handler: logging.Handler = logging.StreamHandler(out)
        handler.setFormatter(ShortForm(colour="NO_COLOR" not in os.environ) if out.isatty() else JsonForm())
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
        fix = 'name a file that this account can write, or use "stderr"'
        raise ConfigError(f"logging.operational: {path} cannot be written: {error.strerror}; {fix}") from None


class _Door(logging.handlers.QueueHandler):
    """Where every logger's lines enter: never blocks, never fails."""

    def __init__(self, waiting: "queue.Queue[Any]", *, traces: bool) -> None:
        super().__init__(waiting)
        self._waiting, self._traces = waiting, traces
        self.dropped = 0

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        """The record with message and error as text: arguments may change or be unprintable later."""
        try:
            message = record.getMessage()
        except (TypeError, ValueError, KeyError):
            message = f"{record.msg} {record.args!r}"
        error = ""
        if record.exc_info and record.exc_info[1] is not None:
            error = f"{type(record.exc_info[1]).__name__}: {record.exc_info[1]}".rstrip(": ")
            if self._traces:
                error = "".join(traceback.format_exception(*record.exc_info)).rstrip()
        kept = {key: getattr(record, key) for key in ("name", "levelname", "levelno", "created")}
        return logging.makeLogRecord({**kept, "msg": message, "exc_text": error})

    def enqueue(self, record: logging.LogRecord) -> None:
        try:
            if self.dropped:
                self._waiting.put_nowait(_dropped(self.dropped))
                self.dropped = 0
            self._waiting.put_nowait(record)
        except queue.Full:
            self.dropped += 1


class _Writer(logging.handlers.QueueListener):
    def __init__(self, waiting: "queue.Queue[Any]", tail: Tail, handler: logging.Handler) -> None:
        super().__init__(waiting, handler)
        self._tail = tail

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        record.msg, record.exc_text = clean(record.msg), clean(record.exc_text or "")
        # The server's own chatter tells of every frame: also of those that would tell a browser of it.
        if record.name not in _NOISY or record.levelno > logging.INFO:
            self._tail.add(clock.iso(record.created), _fields(record))
        return record

    def enqueue_sentinel(self) -> None:
        self.queue.put(None)  # type: ignore[attr-defined]  # waits for room, unlike the original


def _dropped(count: int) -> logging.LogRecord:
    text = f"{count} log lines were dropped because the log could not be written fast enough"
    return logging.makeLogRecord({"name": __name__, "levelname": "WARNING", "levelno": logging.WARNING, "msg": text})


class JsonForm(logging.Formatter):
    """One JSON object a line: at, level, logger, message, error."""

    def format(self, record: logging.LogRecord) -> str:
        line = {"at": clock.iso(record.created), **_fields(record)}
        return json.dumps(line, ensure_ascii=False).replace("\u2028", "\\u2028")


class ShortForm(logging.Formatter):
    """`HH:MM:SS level message` for a terminal; control characters are shown, not obeyed."""

    def __init__(self, *, colour: bool) -> None:
        super().__init__()
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        level, words, error = _level(record), str(record.msg), record.exc_text
        if error:
            words += f"\n{error}" if "\n" in error else f" ({error})"
        text = "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in words)
        tag = f"{level:<5}"
        if self._colour and level in _COLOURS:
            tag = f"\x1b[{_COLOURS[level]}m{tag}\x1b[0m"
        return f"{clock.iso(record.created)[11:19]} {tag} {text}"


def _fields(record: logging.LogRecord) -> dict[str, str]:
    error = {"error": record.exc_text} if record.exc_text else {}
    return {"level": _level(record), "logger": record.name, "message": record.msg, **error}


def _level(record: logging.LogRecord) -> str:
    return next((name for name, least in reversed(LEVELS.items()) if record.levelno >= least), "debug")


def register_secret(value: str) -> None:
    """Never let `value` appear in a log line of this process (nonces, provider keys)."""
    if len(value) >= SHORTEST:
        # Messages also carry values as Python or JSON would write them, quotes and backslashes escaped.
        _secrets.update((value, repr(value)[1:-1], json.dumps(value)[1:-1]))


def forget_secrets() -> None:
    """Drop every registered value (tests, and before a rotation registers new ones)."""
    _secrets.clear()


def clean(text: str) -> str:
    """`text` without registered secrets and without what looks like a credential."""
    # Longest first, so that a secret that contains another one leaves no rest.
    for secret in sorted(_secrets, key=len, reverse=True):
        text = text.replace(secret, REDACTED)
    for pattern, replacement in _LOOKS:
        text = pattern.sub(replacement, text)
    return text


def _text(value: str) -> str:
    return clean(_ASSIGNED.sub(r"\1" + REDACTED, value))


def scrub(value: Any) -> Any:
    """A copy made of plain JSON values only, without secrets; other types become their text."""
    if isinstance(value, Mapping):
        return {
            _text(str(key)): scrub(item) if item is None or not _names_secret(_CAMEL.sub("_", str(key))) else REDACTED
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [scrub(item) for item in value]
    if value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return _text(str(value))
