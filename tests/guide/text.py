"""The guide's own commands and files, taken out of its text by rule: nothing here is typed off."""

import re
from dataclasses import dataclass
from pathlib import Path

TEXT = (Path(__file__).parent / "deployment-guide.txt").read_text(encoding="utf-8")
_HEAD = re.compile(r"Step \d+: .*|Architecture|Prerequisites|WebSocket support|Rotating the nonce|Alternative sidecars")
_COMMAND = re.compile(r"sudo |curl |cloudflared |echo |[A-Z_]+=\$\(|# ")
_FILE = re.compile(r"Create (\S+):")
_PROSE = re.compile(r"[A-Z]\S* ")


@dataclass(frozen=True)
class Section:
    """A part of the guide: its command blocks, and the files that it says to create, by path."""

    title: str
    scripts: list[str]
    files: dict[str, str]


def sections() -> dict[str, Section]:
    """Every section by its title."""
    found: dict[str, Section] = {}
    title, block = "", list[str]()
    for line in [*TEXT.splitlines(), "Architecture"]:
        if _HEAD.fullmatch(line) is None:
            block.append(line)
            continue
        found.setdefault(title, Section(title, _scripts(block), _files(block)))
        title, block = line, []
    return found


def _scripts(lines: list[str]) -> list[str]:
    scripts, current = list[str](), list[str]()
    for line in [*lines, ""]:
        if _COMMAND.match(line):
            current.append(line)
        elif current:
            scripts.append("\n".join(current) + "\n")
            current = []
    return scripts


def _files(lines: list[str]) -> dict[str, str]:
    files: dict[str, str] = {}
    path = ""
    for line in lines:
        if found := _FILE.fullmatch(line):
            path = found[1]
            files[path] = ""
        elif _PROSE.match(line):
            path = ""
        elif path:
            files[path] += line + "\n"
    return files
