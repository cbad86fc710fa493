"""The two forms of a log line: JSON for machines, one short line for people."""

import json
import logging
import traceback
from typing import Any

from kaged.core import clock
from kaged.telemetry.scrub import clean

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {
    "message", "asctime", "taskName", "kaged_error", "color_message",
}  # fmt: skip
_LEVELS = {"DEBUG": "debug", "INFO": "info", "WARNING": "warn", "ERROR": "error", "CRITICAL": "error"}
_COLOURS = {"debug": "2", "warn": "33", "error": "31"}


def digest(record: logging.LogRecord, *, traces: bool) -> logging.LogRecord:
    """The record with its message and error already made into text, in the caller's thread.

    Done there because arguments may change or be unprintable later.
    """
    error = ""
    if record.exc_info and record.exc_info[1] is not None:
        kind, value, _ = record.exc_info
        error = f"{kind.__name__ if kind else 'Error'}: {value}".rstrip(": ")
        if traces:
            error = "".join(traceback.format_exception(*record.exc_info)).rstrip()
    extra = {key: value for key, value in vars(record).items() if key not in _STANDARD}
    kept = {key: getattr(record, key) for key in ("name", "levelname", "levelno", "created")}
    return logging.makeLogRecord({**extra, **kept, "msg": _message(record), "kaged_error": error})


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError, KeyError):
        return f"{record.msg} {record.args!r}"


def fields(record: logging.LogRecord) -> dict[str, Any]:
    """The extra fields of a record, as scrubbed JSON values."""
    return {key: _plain(value) for key, value in vars(record).items() if key not in _STANDARD}


def _plain(value: object) -> Any:
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {clean(str(key)): _plain(item) for key, item in value.items()}
    return clean(str(value))


class JsonForm(logging.Formatter):
    """One JSON object a line: at, level, logger, message, error, and the extra fields."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": clock.iso(record.created),
            "level": _LEVELS.get(record.levelname, record.levelname.lower()),
            "logger": record.name,
            "message": clean(record.getMessage()),
        }
        if error := getattr(record, "kaged_error", ""):
            line["error"] = clean(error)
        return json.dumps({**fields(record), **line}, ensure_ascii=False).replace("\u2028", "\\u2028")


class ShortForm(logging.Formatter):
    """`HH:MM:SS level message key=value` for a terminal; control characters are shown, not obeyed."""

    def __init__(self, *, colour: bool) -> None:
        super().__init__()
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        level = _LEVELS.get(record.levelname, record.levelname.lower())
        words = [clean(record.getMessage())]
        words += [f"{key}={value}" for key, value in fields(record).items()]
        if error := getattr(record, "kaged_error", ""):
            words.append(f"({clean(error)})" if "\n" not in error else "\n" + clean(error))
        text = "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in " ".join(words))
        tag = f"{level:<5}"
        if self._colour and level in _COLOURS:
            tag = f"\x1b[{_COLOURS[level]}m{tag}\x1b[0m"
        return f"{clock.iso(record.created)[11:19]} {tag} {text}"
