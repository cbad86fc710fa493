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
_TOKEN = re.compile(
    r"(?P<text>[^\s\\'\"`$;&|()<>#*?\[\]{}~]+|[^\S \t\n]+)|(?P<space>[ \t]+)|(?P<joined>\\\n)|\\(?P<escaped>.)"
    r"|'(?P<single>[^']*)'|(?P<glob>[*?\[\]{}~])|(?P<redirect>(?![<>]\()(?:&>>?|[<>]+[&|]?))|(?P<end>[\n;&|])|(?P<expand>[<>$`])"
    r'|(?P<double>")|(?P<open>\()|(?P<hash>#)',
    re.DOTALL,
)
_IN_DOUBLE = re.compile(r'([^"\\$`]+|\\(?![$`"\\\n]))|\\([$`"\\\n])|[$`]')
_BACKQUOTED = re.compile(r"`([^`\\]*)`")
_NO_TOKEN = {"\\": "a backslash at the end", "'": "a quote without its other one"}
_DEEP = 8
_MOST_WORDS, _MOST_COMMANDS = 100, 2_000
"""Words of a launcher, and commands of a line, that are still looked at one by one."""


class Unclear(Exception):
    """The line cannot be taken apart with certainty; the text names what stands in the way."""


@dataclass(frozen=True, slots=True)
class Command:
    """Its words, None for those (of any number) not known before it runs; `exact` when it is nothing but these."""

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
    """Every command that the line may run, also in substitutions and launchers' arguments. Raises `Unclear`."""
    lexer = _Lexer(line, depth)
    lexer.until("")
    return lexer.found


class _Lexer:
    def __init__(self, line: str, depth: int) -> None:
        self._line, self._depth, self._at = line, depth, 0
        self.found: list[Command] = []
        self._now = _Draft()

    def until(self, end: str) -> None:
        """Read to the closing `)` or to the end of the line; commands on the way are found."""
        outer, self._now = self._now, _Draft()
        self._depth += 1
        if self._depth > _DEEP:
            raise Unclear("commands within commands, too deep to follow")
        while (token := _TOKEN.match(self._line, self._at)) is not None:
            self._at = token.end()
            self._take(str(token.lastgroup), token[str(token.lastgroup)])
        if (stop := self._line[self._at : self._at + 1]) != end:
            raise Unclear(_NO_TOKEN.get(stop, "a parenthesis without its other one"))
        self._at += len(end)
        self._end_command()
        self._now = outer
        self._depth -= 1

    def _take(self, kind: str, text: str) -> None:
        now = self._now
        if kind == "hash" and not now.begun:
            self._at = end if (end := self._line.find("\n", self._at)) != -1 else len(self._line)
        elif kind in ("text", "hash", "glob", "escaped", "single"):
            now.bare, now.glob = now.bare and kind not in ("escaped", "single"), now.glob or kind == "glob"
            self._add(text)
        elif kind == "space":
            self._end_word()
        elif kind == "end":
            self._end_command()
        elif kind == "redirect":
            self._redirect(text)
        elif kind == "expand":
            self._expand()
        elif kind == "double":
            self._double()
        elif kind == "open":
            if now.begun or now.words or self._line.startswith("(", self._at):
                raise Unclear("a function, an array or arithmetic")
            self.until(")")

    def _double(self) -> None:
        self._now.bare = False
        self._add("")
        while (found := _IN_DOUBLE.match(self._line, self._at)) is not None:
            self._at = found.end()
            if found.lastindex is None:
                self._expand(quoted=True)
            else:
                self._add(found[1] or found[2].removeprefix("\n"))
        if not self._line.startswith('"', self._at):
            raise Unclear(_NO_TOKEN["'"])
        self._at += 1

    def _expand(self, *, quoted: bool = False) -> None:
        """A substitution that began one character ago: what it runs is found, what it gives is not known."""
        line, start = self._line, self._at - 1
        if line[start] == "`":
            if (back := _BACKQUOTED.match(line, start)) is None:
                raise Unclear("backquotes")
            self.found += take_apart(back[1], self._depth + 1)
            self._at = back.end()
        elif line.startswith("(", self._at):
            if line.startswith("((", self._at):
                raise Unclear("arithmetic")
            self._at += 1
            self.until(")")
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
        if len(self.found) > _MOST_COMMANDS:
            raise Unclear(f"more than {_MOST_COMMANDS} commands")
        if words and words[0] in _HIDDEN:
            raise Unclear(f"`{words[0]}`")
        if words:
            self.found += _launched(words, exact, self._depth)
        elif sets:  # No program, but what it sets or where it writes is not what a laxer rule means
            self.found.append(Command(("",), exact=False))


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
