"""A bash command line taken apart into the commands it runs, as far as text alone can tell. Pure. What expands only
when it runs (`$X`, `$(…)`, `*.txt`) is a word nobody knows yet; what cannot be taken apart for certain is refused."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from posixpath import basename


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


LAUNCHERS = _set(
    "builtin busybox bwrap chroot chrt command doas entr env exec fakeroot find flock gdb ionice nice nohup npx "
    "nsenter parallel perf pipenv pipx poetry rush screen script setarch setpriv setsid ssh stdbuf strace su sudo "
    "systemd-run taskset time timeout tmux unshare uv uvx watch xargs"
)
"""Programs that run what their arguments name."""
_MORE_FROM_INPUT = _set("parallel rush xargs")
_SHELLS = _set("ash bash dash fish ksh mksh rbash sh zsh")
_HIDDEN = _set(". alias case coproc enable eval fc function hash let mapfile readarray select source trap")
"""First words after which the line runs what does not stand in it, or in a form that is not taken apart here."""
_RESERVED = _set("! { } if then elif else fi while until do done")
_ALONE = _set("! { } [ ] [[ ]]")
_ASSIGNS = re.compile(r"[A-Za-z_]\w*\+?=", re.ASCII)
_SIMPLE = re.compile(r"\$(?:[A-Za-z_]\w*|[0-9@*#?$!-]|\{[#!]?\w+\})", re.ASCII)
_PLAIN = re.compile(r"[^\s\\'\"`$;&|()<>#*?\[\]{}~]+|[^\S \t\n]+")
_REDIRECT = re.compile(r"&>>?|[<>]+[&|]?")
_DEEP = 8
_MOST_WORDS, _MOST_COMMANDS = 100, 2_000
"""Words of a launcher, and commands of a line, that are still looked at one by one."""


class Unclear(Exception):
    """The line cannot be taken apart with certainty; the text names what stands in the way."""


@dataclass(frozen=True, slots=True)
class Command:
    """One command: its words, None for each that is not known before it runs and may become any number of words.
    `exact` when it is nothing but these words."""

    words: tuple[str | None, ...]
    exact: bool = True


@dataclass(slots=True)
class _Draft:
    words: list[str | None] = field(default_factory=list)
    word: str | None = ""
    begun: bool = False
    bare: bool = True  # Nothing of the word is quoted
    glob: bool = False  # The word may become file names
    target: bool = False  # The next word is where a redirection leads
    exact: bool = True


def take_apart(line: str, depth: int = 0) -> list[Command]:
    """Every command that the line may run, those of substitutions and of launchers' arguments among them. Raises
    `Unclear`."""
    return _Lexer(line, depth).commands()


class _Lexer:
    def __init__(self, line: str, depth: int) -> None:
        self._line, self._depth, self._at = line, depth, 0
        self._found: list[Command] = []
        self._now = _Draft()

    def commands(self) -> list[Command]:
        self._until("")
        return self._found

    def _until(self, end: str) -> None:
        """Read to the closing `)` or to the end of the line; commands on the way are found."""
        outer, self._now = self._now, _Draft()
        self._depth += 1
        if self._depth > _DEEP:
            raise Unclear("commands within commands, too deep to follow")
        while self._at < len(self._line):
            if (plain := _PLAIN.match(self._line, self._at)) is not None:
                self._add(plain[0])
                self._at = plain.end()
                continue
            char = self._line[self._at]
            if char == ")":
                break
            self._special(char)
        if (self._at < len(self._line)) != (end == ")"):
            raise Unclear("a parenthesis without its other one")
        self._at += len(end)
        self._end_command()
        self._now = outer
        self._depth -= 1

    def _special(self, char: str) -> None:
        line, at = self._line, self._at
        if (redirect := _REDIRECT.match(line, at)) is not None and not line.startswith(("<(", ">("), at):
            self._redirect(redirect[0])
            return
        self._at += 1
        if char in " \t":
            self._end_word()
        elif char in "\n;&|":
            self._end_command()
        elif char in "<>$`":
            self._expand()
        elif char == "#" and not self._now.begun:
            self._at = end if (end := line.find("\n", at)) != -1 else len(line)
        elif char == "(":
            if self._now.begun or self._now.words or line.startswith("(", self._at):
                raise Unclear("a function, an array or arithmetic")
            self._until(")")
        elif char in "\\'\"":
            self._quoted(char)
        elif char in "*?[]{}~":
            self._add(char)
            self._now.glob = True
        else:
            self._add(char)

    def _quoted(self, quote: str) -> None:
        line, at, self._now.bare = self._line, self._at, False
        if quote == "\\":
            if at >= len(line):
                raise Unclear("a backslash at the end")
            self._at += 1
            if line[at] == "\n":
                self._now.bare = True
            else:
                self._add(line[at])
        elif quote == "'":
            if (end := line.find("'", at)) == -1:
                raise Unclear("a quote without its other one")
            self._add(line[at:end])
            self._at = end + 1
        else:
            self._double()

    def _double(self) -> None:
        self._add("")
        while (char := self._line[self._at : self._at + 1]) != '"':
            self._at += 1
            if not char:
                raise Unclear("a quote without its other one")
            if char in "$`":
                self._expand(quoted=True)
            elif char == "\\" and (escaped := self._line[self._at : self._at + 1]) in ("$", "`", '"', "\\", "\n"):
                self._add("" if escaped == "\n" else escaped)
                self._at += 1
            else:
                self._add(char)
        self._at += 1

    def _expand(self, *, quoted: bool = False) -> None:
        """A substitution that began one character ago: what it runs is found, what it gives is not known."""
        line, start = self._line, self._at - 1
        if line[start] == "`":
            end = line.find("`", self._at)
            if end == -1 or "\\" in line[self._at : end]:
                raise Unclear("backquotes")
            self._found += take_apart(line[self._at : end], self._depth + 1)
            self._at = end + 1
        elif line.startswith("(", self._at):
            if line.startswith("((", self._at):
                raise Unclear("arithmetic")
            self._at += 1
            self._until(")")
        elif (simple := _SIMPLE.match(line, start)) is not None:
            self._at = simple.end()
        elif line[start : start + 2] in ("$'", '$"', "${", "$[") and not (quoted and line[start + 1] in "'\""):
            raise Unclear(f"`{line[start : start + 2]}`")
        else:
            self._add("$")
            return
        self._unknown()

    def _redirect(self, sign: str) -> None:
        if sign.startswith("<<") and sign != "<<<":
            raise Unclear("a here-document")
        if self._now.bare and re.fullmatch("[0-9]+", self._now.word or ""):
            self._now.word, self._now.begun = "", False
        self._end_word()
        self._now.target = True
        self._at += len(sign)

    def _add(self, text: str) -> None:
        self._now.begun = True
        if self._now.word is not None:
            self._now.word += text

    def _unknown(self) -> None:
        now = self._now
        if not (_ASSIGNS.match(now.word or "") and all(_ASSIGNS.match(word or "") for word in now.words)):
            now.word = None  # The value of a variable is no further word
        now.begun = True

    def _end_word(self) -> None:
        now = self._now
        if now.glob and now.word not in _ALONE:
            self._unknown()
        if now.begun and now.target:
            now.exact = now.exact and now.word in ("/dev/null", "1", "2", "-")
            now.target = False
        elif now.begun:
            now.words.append(now.word)
        now.word, now.begun, now.bare, now.glob = "", False, True, False

    def _end_command(self) -> None:
        self._end_word()
        words, exact = self._now.words, self._now.exact and not self._now.target
        self._now = _Draft()
        if any(word and re.search(r"\[.*(\$\(|`)", word, re.S) for word in words):
            raise Unclear("a command within a subscript")
        sets = not exact
        while words and (words[0] == "for" or words[0] in _RESERVED or _ASSIGNS.match(words[0] or "")):
            # What follows `for` is data, up to a `do` in the same breath.
            end = words.index("do") if words[0] == "for" and "do" in words else len(words)
            sets, exact = sets or words[0] not in _RESERVED, False
            words = words[end if words[0] == "for" else 1 :]
        if len(self._found) > _MOST_COMMANDS:
            raise Unclear(f"more than {_MOST_COMMANDS} commands")
        if words and words[0] in _HIDDEN:
            raise Unclear(f"`{words[0]}`")
        if words:
            self._found += _launched(words, exact, self._depth)
        elif sets:  # No program, but what it sets or where it writes is not what a laxer rule means
            self._found.append(Command(("",), exact=False))


def _launched(words: list[str | None], exact: bool, depth: int) -> Iterator[Command]:
    """The command, and each that its arguments may be."""
    program = basename(words[0] or "")
    shell = program in _SHELLS
    yield Command(tuple(words), exact and not shell and program not in LAUNCHERS)
    if not shell and program not in LAUNCHERS:
        return
    if len(words) > _MOST_WORDS:
        raise Unclear(f"more than {_MOST_WORDS} words after `{program}`")
    more = (None,) if program in _MORE_FROM_INPUT else ()
    last = 0
    for start, word in enumerate(words):
        last = start if basename(word or "") in _SHELLS else last
        if start:
            yield Command((*words[start:], *more), exact=False)
    if more and any(basename(word or "") in LAUNCHERS | _SHELLS for word in words[1:]):
        yield Command(more, exact=False)
    given = words[last + 1 :]
    given_line = any(word and re.fullmatch("-[A-Za-z]*c[A-Za-z]*", word) for word in given[:-1])
    # Without `-c COMMAND`: a script that is named first, or commands from elsewhere.
    if (shell or last) and not given_line and re.match("[-+]|/+(dev|proc)/|$", (given or [""])[0] or ""):
        raise Unclear("a shell that reads its commands from elsewhere")
    for word in words[1:]:
        for text in dict.fromkeys((word, re.sub(r"^(-[A-Za-z]|[^=\s]*=)", "", word))) if word else ():
            if re.search(r"[\s;&|$`()<>]", text):
                yield from (Command(each.words, exact=False) for each in take_apart(text, depth))


def may_be(pattern: tuple[str, ...], command: Command) -> bool:
    """Whether the command may be one that `pattern` means, whatever else stands between its words. A program counts by
    its name in any folder, short options in any order and number (`-rf`, `-fr`, `-r -f`)."""
    words = command.words
    options = {letter for word in words if word and re.match("-[A-Za-z]", word) for letter in word[1:]}
    rest = iter(words)
    for number, wanted in enumerate(pattern):
        if number and wanted == "*":
            continue
        if number and None not in words and re.fullmatch("-[A-Za-z]+", wanted) and set(wanted[1:]) <= options:
            continue
        for word in rest:
            if word is None:
                return True
            if fnmatchcase(word if number else basename(word), wanted if number else basename(wanted)):
                break
            if not number:
                return False
        else:
            return False
    return True


def is_plainly(pattern: tuple[str, ...], command: Command) -> bool:
    """Whether the command is what `pattern` says, word by word; a `*` at its end stands for any number of words."""
    words = [word for word in command.words if word is not None]
    if not command.exact or len(words) < len(command.words):
        return False
    if pattern[-1] == "*":
        pattern = pattern[:-1]
        words = words[: len(pattern)]
    return len(words) == len(pattern) and all(map(fnmatchcase, words, pattern))
