"""Find the line of each key in a TOML text, because `tomllib` forgets them.

Works on texts that `tomllib` has accepted: the scanner follows structure, it does not judge it.
"""

from collections.abc import Mapping

Key = tuple[str | int, ...]

_BARE_END = " \t\r\n=.]#,}"
_VALUE_END = ",]}\r\n#"


def key_lines(text: str) -> Mapping[Key, int]:
    """Line numbers from 1 for each key path; array elements have their index in the path."""
    return _Scanner(text).run()


def line_of(lines: Mapping[Key, int], path: Key) -> int | None:
    """The line of `path`, or of the nearest part of it that is written in the file."""
    for end in range(len(path), 0, -1):
        if (line := lines.get(path[:end])) is not None:
            return line
    return None


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.lines: dict[Key, int] = {}
        self.arrays: dict[Key, int] = {}

    def run(self) -> Mapping[Key, int]:
        table: Key = ()
        while self._skip_blank():
            if self.text.startswith("[", self.at):
                table = self._header()
            else:
                self._pair(table)
        return self.lines

    def _peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def _line(self) -> int:
        return self.text.count("\n", 0, self.at) + 1

    def _note(self, prefix: Key, key: Key) -> Key:
        for end in range(1, len(key) + 1):
            self.lines.setdefault(prefix + key[:end], self._line())
        return prefix + key

    def _skip_space(self) -> None:
        while self._peek() in (" ", "\t"):
            self.at += 1

    def _skip_blank(self) -> bool:
        """Skip white space, line ends and comments; False at the end of the text."""
        while char := self._peek():
            if char == "#":
                end = self.text.find("\n", self.at)
                self.at = len(self.text) if end < 0 else end
            elif char in " \t\r\n":
                self.at += 1
            else:
                return True
        return False

    def _header(self) -> Key:
        many = self.text.startswith("[[", self.at)
        self.at += 2 if many else 1
        path = self._resolve(self._dotted())
        self.at += 2 if many else 1
        self._note((), path)
        if not many:
            return path
        index = self.arrays.get(path, 0)
        self.arrays[path] = index + 1
        return self._note((), (*path, index))

    def _resolve(self, key: Key) -> Key:
        """Insert the current index after each array of tables that the key passes through."""
        path: Key = ()
        for number, part in enumerate(key, 1):
            path = (*path, part)
            if number < len(key) and path in self.arrays:
                path = (*path, self.arrays[path] - 1)
        return path

    def _dotted(self) -> Key:
        parts: list[str] = []
        while True:
            self._skip_space()
            parts.append(self._part())
            self._skip_space()
            if self._peek() != ".":
                return tuple(parts)
            self.at += 1

    def _part(self) -> str:
        if self._peek() in ('"', "'"):
            return self._string()
        start = self.at
        while self._peek() and self._peek() not in _BARE_END:
            self.at += 1
        return self.text[start : self.at]

    def _pair(self, prefix: Key) -> None:
        start, line = self.at, self._line()
        path = self._note(prefix, self._dotted())
        self.lines.setdefault(path, line)
        self._skip_space()
        if self._peek() == "=":
            self.at += 1
            self._value(path)
        if self.at == start:
            self.at += 1

    def _value(self, path: Key) -> None:
        self._skip_space()
        char = self._peek()
        if char in ('"', "'"):
            self._string()
        elif char == "[":
            self._array(path)
        elif char == "{":
            self._inline(path)
        else:
            while self._peek() and self._peek() not in _VALUE_END:
                self.at += 1

    def _array(self, path: Key) -> None:
        self.at += 1
        index = 0
        while self._skip_blank() and self._peek() != "]":
            if self._peek() == ",":
                self.at += 1
                continue
            self._value(self._note(path, (index,)))
            index += 1
        self.at += 1

    def _inline(self, path: Key) -> None:
        self.at += 1
        while self._skip_blank() and self._peek() != "}":
            if self._peek() == ",":
                self.at += 1
                continue
            self._pair(path)
        self.at += 1

    def _string(self) -> str:
        quote = self._peek()
        fence = quote * 3 if self.text.startswith(quote * 3, self.at) else quote
        self.at += len(fence)
        start = self.at
        while self.at < len(self.text) and not self.text.startswith(fence, self.at):
            self.at += 2 if quote == '"' and self._peek() == "\\" else 1
        end = self.at
        self.at += len(fence)
        while len(fence) == 3 and self._peek() == quote:
            self.at += 1
        return _unescape(self.text[start:end], quote)


def _unescape(raw: str, quote: str) -> str:
    if quote == "'" or "\\" not in raw:
        return raw
    import tomllib

    value: str = tomllib.loads(f'k = "{raw}"')["k"] if "\n" not in raw else raw
    return value
