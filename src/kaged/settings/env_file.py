"""Files of `KEY=value` lines, as systemd's `EnvironmentFile=` takes them: read, and changed key by key."""

import re
from collections.abc import Mapping
from pathlib import Path

from kaged.core.errors import ConfigError
from kaged.settings.paths import read_text

_LINE = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*?)\s*")


def read(path: Path) -> tuple[str, dict[str, str]]:
    """The text and its keys; both empty when there is no such file. Raises ConfigError."""
    text = read_text(path) or ""
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if line[-1:] == "\\":
            raise ConfigError(f"{path}:{number}: goes on in the next line; kaged reads one line a key")
        if match := _LINE.fullmatch(line):
            key, value = match.groups()
            quoted = len(value) > 1 and value[0] in "'\"" and value[-1] == value[0]
            found[key] = value[1:-1] if quoted else value
    return text, found


def changed(text: str, values: Mapping[str, str | None]) -> str:
    """`text` with these keys set, or removed (None); every other line stays as it is."""
    lines, left = [], dict(values)
    for line in text.splitlines():
        key = match[1] if (match := _LINE.fullmatch(line)) else ""
        if key not in values:
            lines.append(line)
        elif (value := left.pop(key, None)) is not None:
            lines.append(f"{key}={value}")
    lines += [f"{key}={value}" for key, value in left.items() if value is not None]
    return "".join(f"{line}\n" for line in lines)
