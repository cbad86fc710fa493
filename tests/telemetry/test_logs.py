"""The log as a whole: forms, levels, files that move, floods, secrets, traces. What never reaches a line."""

import io
import json
import logging
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kaged.core.errors import ConfigError
from kaged.telemetry.logs import REDACTED, Telemetry, clean, configure, forget_secrets, register_secret

log = logging.getLogger("kaged.test")


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    yield
    assert (root.handlers, root.level) == before
    forget_secrets()


def written(level: str = "info", stream: io.StringIO | None = None) -> Any:
    """Run a logging block and give back what was written."""
    out = io.StringIO() if stream is None else stream
    telemetry = configure("stderr", level, stream=out)

    def finish() -> list[dict[str, Any]]:
        telemetry.close()
        return [json.loads(line) for line in out.getvalue().splitlines()]

    return finish


def test_json_lines() -> None:
    finish = written()
    log.info("run %s ended", "01J")
    (line,) = finish()
    assert line.pop("at")[-1] == "Z"
    assert line == {"level": "info", "logger": "kaged.test", "message": "run 01J ended"}


def test_one_event_is_one_line_whatever_is_in_it() -> None:
    finish = written()
    log.warning("two\nlines\r\u2028\x1b[31m \ud800")
    (line,) = finish()
    assert line["level"] == "warn"
    assert line["message"] == "two\nlines\r\u2028\x1b[31m \ud800"


def test_a_terminal_gets_short_lines_without_control_characters() -> None:
    out = Tty()
    telemetry = configure("stderr", "info", stream=out)
    log.info("ready")
    log.error("bad \x1b[2J thing")
    telemetry.close()
    first, second = out.getvalue().splitlines()
    assert first[8:] == " info  ready"
    assert second.count("\x1b") in (0, 2)
    assert "bad \\x1b[2J thing" in second


@pytest.mark.parametrize(
    ("level", "seen"),
    [
        ("debug", ["debug", "info", "warn", "error"]),
        ("info", ["info", "warn", "error"]),
        ("warn", ["warn", "error"]),
        ("error", ["error"]),
    ],
)
def test_levels(level: str, seen: list[str]) -> None:
    finish = written(level)
    for number in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
        log.log(number, "x")
    assert [line["level"] for line in finish()] == seen


def test_servers_and_clients_chatter_at_debug_only() -> None:
    finish = written()
    logging.getLogger("uvicorn.access").info("GET /")
    logging.getLogger("httpx2").info("HTTP Request")
    logging.getLogger("uvicorn.error").info("Started", extra={"color_message": "\x1b[36mStarted"})
    assert finish() == []
    finish = written("debug")
    logging.getLogger("uvicorn.error").info("Started", extra={"color_message": "\x1b[36mStarted"})
    (line,) = finish()
    assert set(line) == {"at", "level", "logger", "message"}


def fail() -> None:
    try:
        raise ValueError("no room")
    except ValueError:
        log.exception("could not write")


def test_stack_traces_are_for_debug_only() -> None:
    finish = written("info")
    fail()
    (line,) = finish()
    assert line["error"] == "ValueError: no room"
    finish = written("debug")
    fail()
    (line,) = finish()
    assert "Traceback" in line["error"]
    assert "test_logs.py" in line["error"]


def test_secrets_are_scrubbed_from_every_part() -> None:
    register_secret('the"nonce\\value')
    finish = written("debug")
    try:
        raise ValueError('the"nonce\\value')
    except ValueError:
        log.exception("got %s", 'the"nonce\\value')
    assert "nonce" not in json.dumps(finish())


def test_a_line_with_wrong_arguments_is_still_written() -> None:
    finish = written()
    log.info(*("only %s %s", "one"))
    (line,) = finish()
    assert line["message"] == "only %s %s ('one',)"


def test_python_warnings_are_logged() -> None:
    finish = written()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old", UserWarning, stacklevel=1)
    (line,) = finish()
    assert "UserWarning: old" in line["message"]


def test_a_file_is_private_appended_to_and_reopened_when_moved(tmp_path: Path) -> None:
    file = tmp_path / "logs" / "kaged.log"
    telemetry = configure(f"file:{file}", "info")
    log.info("one")
    telemetry.close()
    assert file.stat().st_mode & 0o777 == 0o600
    telemetry = configure(f"file:{file}", "info")
    log.info("two")
    telemetry.close()
    telemetry = configure(f"file:{file}", "info")
    file.rename(tmp_path / "old.log")
    log.info("three")
    telemetry.close()
    assert [json.loads(x)["message"] for x in (tmp_path / "old.log").read_text().splitlines()] == ["one", "two"]
    assert [json.loads(x)["message"] for x in file.read_text().splitlines()] == ["three"]


def test_a_file_that_cannot_be_opened_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"logging\.operational: .* cannot be written"):
        configure(f"file:{tmp_path}/file/kaged.log", "info")


class Slow(logging.Handler):
    """A log whose disk hangs until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.started = threading.Event()
        self.seen: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.started.set()
        self.go.wait()
        self.seen.append(record)


def test_a_slow_log_never_blocks_its_callers_and_counts_what_it_drops() -> None:
    slow = Slow()
    telemetry = Telemetry(slow, "info", lines=3)
    log.info("first")
    slow.started.wait()
    for number in range(10):
        log.info("%d", number)
    slow.go.set()
    telemetry.close()
    telemetry.close()
    messages = [record.getMessage() for record in slow.seen]
    assert messages[:4] == ["first", "0", "1", "2"]
    assert messages[-1][:28] == "7 log lines were dropped bec"


@pytest.fixture(autouse=True)
def _forget():
    yield
    forget_secrets()


def test_registered_values_are_replaced_wherever_they_stand() -> None:
    register_secret("nonce-value-1")
    register_secret("nonce-value-1-longer")
    assert clean("a=nonce-value-1-longer b nonce-value-1!") == f"a={REDACTED} b {REDACTED}!"


def test_short_values_are_not_registered() -> None:
    register_secret("a")
    register_secret("")
    assert clean("banana") == "banana"


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("Authorization: Bearer abcdef.ghijkl", "abcdef.ghijkl"),
        ("using " + "sk-" + "a1b2c3d4" * 4, "a1b2c3d4"),
        ("X-Kaged-Auth-Nonce: f00dfeedf00d", "f00dfeed"),
        ("x-api-key: 'abcd1234'", "abcd1234"),
        ('{"api_key": "abcd1234"}', "abcd1234"),
        ("GET /launch?token=abcd-efgh&x=1", "abcd-efgh"),
        ("Cookie: kaged_session=abcdefgh", "abcdefgh"),
        ("kaged_session_8001=abcdefgh; Path=/", "abcdefgh"),
        ("password=hunter22", "hunter22"),
        ("http://ada:lovelace@example.com/", "lovelace"),
        ("ghp_0123456789abcdef01234", "0123456789"),
        ("eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ4eCJ9.sig", "eyJzdWI"),
    ],
)
def test_what_looks_like_a_credential_is_replaced(text: str, secret: str) -> None:
    assert secret not in clean(text)
    assert REDACTED in clean(text)


def test_ordinary_lines_stay() -> None:
    text = "run 01JD ended: 3 tokens in, api_key_env ANTHROPIC_API_KEY, http://127.0.0.1:7777/"
    assert clean(text) == text
