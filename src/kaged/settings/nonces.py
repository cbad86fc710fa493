"""The sidecar's nonces: where they may come from and what is accepted. A nonce is what proves that a request crossed
the sidecar: whoever knows it can be any user. Values never appear in messages or in the `repr` of anything here."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from kaged.core.errors import ConfigError
from kaged.settings.paths import read_text, write_private

CURRENT = "KAGED_AUTH_SIDECAR_NONCE"
PREVIOUS = "KAGED_AUTH_SIDECAR_NONCE_PREVIOUS"
FILE = "KAGED_AUTH_SIDECAR_NONCE_FILE"
CREDENTIALS = "CREDENTIALS_DIRECTORY"
CREDENTIAL_NAME = "sidecar-nonce"

MIN_CHARS = 32
MAX_CHARS = 512
_LINE = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*?)\s*")
_HOW = "make one with: openssl rand -hex 32"
_PLACEHOLDERS = ("$(", "${", "openssl", "changeme", "change-me", "change_me", "replace", "example", "placeholder")


@dataclass(frozen=True, slots=True)
class Nonces:
    """The accepted nonces and where they came from; both None when none is configured."""

    current: str | None = field(default=None, repr=False)
    previous: str | None = field(default=None, repr=False)
    source: str = "none"  # `environment`, `file <path>`, `credential` or `none`; for people, never a value

    @property
    def accepted(self) -> tuple[str, ...]:
        """Every nonce that a request may carry, the current one first."""
        return tuple(value for value in (self.current, self.previous) if value is not None)


@dataclass(slots=True)
class Source:
    """Where a running daemon's nonces come from, to be read again. `environ` is as at the start, or as last read."""

    environ: Mapping[str, str] = field(repr=False)
    env_file: Path
    required: bool
    nonces: Nonces = field(default_factory=Nonces)

    def read(self) -> Nonces:
        """The nonces as `environ` says. Raises ConfigError."""
        self.nonces = read_nonces(self.environ, required=self.required, env_file=self.env_file)
        return self.nonces

    def reread(self) -> Nonces:
        """The nonces as the files say now. Raises ConfigError, and then nothing has changed."""
        environ = dict(self.environ)
        if not environ.get(FILE) and _credential(environ) is None:
            _, given = read_env(self.env_file)
            if environ.get(CURRENT) and not given.get(CURRENT):
                how = f"put {CURRENT} there, or change it where the service has it and restart kaged"
                raise ConfigError(f"{self.env_file}: does not have the nonce that kaged was started with; {how}")
            environ |= {name: given.get(name, "") for name in (CURRENT, PREVIOUS)}
        self.nonces = read_nonces(environ, required=self.required, env_file=self.env_file)
        self.environ = environ
        return self.nonces


@dataclass(frozen=True, slots=True)
class Stored:
    """A file with nonces that can be changed: an env file, or (`plain`) one nonce a line."""

    path: Path
    plain: bool

    @classmethod
    def find(cls, source: str, env_file: Path, environ: Mapping[str, str]) -> "Stored":
        """The file behind a daemon's `Nonces.source`, or, when that is empty, what the files themselves say."""
        kind, _, name = source.partition(" ")
        if kind == "credential":
            how = "put the new one and the old one on two lines of the file that LoadCredential= names"
            raise ConfigError(
                f"the nonce is the systemd credential {CREDENTIAL_NAME}, which a service gets at its start only; "
                f"{how}, then: systemctl restart kaged (agents and terminals go on)"
            )
        if not name:
            name = read_env(env_file)[1].get(FILE) or environ.get(FILE, "")
        return cls(Path(name), plain=True) if name else cls(env_file, plain=False)

    def read(self) -> Nonces:
        """What the file says. Raises ConfigError, also when it has no nonce."""
        if self.plain:
            return _from_file(self.path, f"file {self.path}")
        return read_nonces({**read_env(self.path)[1], FILE: ""}, required=True, env_file=self.path)

    def write(self, nonces: Nonces) -> None:
        """Replace the nonces in one step; other keys, owner and mode stay. Raises ConfigError."""
        path = self.path.resolve()
        try:
            text = "".join(f"{value}\n" for value in nonces.accepted)
            if not self.plain:
                pair = {CURRENT: nonces.current, PREVIOUS: nonces.previous}
                text = changed_env(read_env(path)[0], pair)
            write_private(path, text, like=path.stat())
        except OSError as error:
            text = f"{path}: cannot be replaced: {error.strerror}; run this as root, or as the owner of its folder"
            raise ConfigError(text) from None


def fingerprint(nonce: str) -> str:
    """Eight characters by which two copies of a nonce can be compared without showing it."""
    return sha256(nonce.encode("ascii")).hexdigest()[:8]


def read_nonces(environ: Mapping[str, str], *, required: bool, env_file: Path | None = None) -> Nonces:
    """The nonces from the environment, a file or a systemd credential. Raises ConfigError when more than one source is
    given, when a value is unusable, or when `required` and there is none. `env_file` is only named in that message."""
    sources = [name for name in (CURRENT, FILE) if environ.get(name)]
    credential = _credential(environ)
    if credential is not None:
        sources.append(f"systemd credential {CREDENTIAL_NAME}")
    if len(sources) > 1:
        raise ConfigError(f"{sources[0]}: the nonce is given twice, also as {sources[1]}; keep one of them")
    if environ.get(CURRENT):
        return _checked(environ[CURRENT], environ.get(PREVIOUS) or None, "environment", "")
    if environ.get(PREVIOUS):
        raise ConfigError(f"{PREVIOUS}: is set without {CURRENT}; set both, or neither")
    if path := environ.get(FILE):
        return _from_file(Path(path), f"file {path}")
    if credential is not None:
        return _from_file(credential, "credential")
    if required:
        where = "" if env_file is None else f" in {env_file}"
        how = f"set it{where} to the value that the sidecar sends as X-Kaged-Auth-Nonce; {_HOW}"
        raise ConfigError(f"{CURRENT}: is not set, and system mode needs it; {how}")
    return Nonces()


def check_nonce(value: str) -> str | None:
    """Why `value` cannot serve as a nonce, or None when it can."""
    if len(value) < MIN_CHARS:
        return f"is {len(value)} characters long; at least {MIN_CHARS} are needed; {_HOW}"
    if len(value) > MAX_CHARS:
        return f"is longer than {MAX_CHARS} characters; {_HOW}"
    lowered = value.lower()
    if any(word in lowered for word in _PLACEHOLDERS):
        return f"is an example or an unexpanded command, not a secret; {_HOW}"
    if not re.fullmatch(r"[!-~]+", value):
        return f"has white space or characters that are not printable ASCII; {_HOW}"
    if (value + value).find(value, 1) < len(value) or len(set(lowered)) < 8:
        return f"repeats itself and can be guessed; {_HOW}"
    return None


def _credential(environ: Mapping[str, str]) -> Path | None:
    path = Path(environ.get(CREDENTIALS, ""), CREDENTIAL_NAME)
    return path if environ.get(CREDENTIALS) and path.exists() else None


def _from_file(path: Path, source: str) -> Nonces:
    text = read_text(path)
    if text is None:
        raise ConfigError(f"{path}: cannot be read: there is no such file")
    lines = text.removesuffix("\n").split("\n")
    if len(lines) > 2:
        raise ConfigError(f"{path}: has {len(lines)} lines; at most two: the nonce and the previous one")
    return _checked(lines[0], lines[1] if len(lines) == 2 else None, source, f"{path}: ")


def _checked(current: str, previous: str | None, source: str, where: str) -> Nonces:
    for name, value in ((CURRENT, current), (PREVIOUS, previous)):
        if value is not None and (problem := check_nonce(value)) is not None:
            raise ConfigError(f"{where}{name}{' ' if where else ': '}{problem}")
    return Nonces(current, previous if previous != current else None, source)


def read_env(path: Path) -> tuple[str, dict[str, str]]:
    """The text and keys of a file of `KEY=value` lines (systemd's `EnvironmentFile=`); both empty when there is no such
    file. Raises ConfigError."""
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


def changed_env(text: str, values: Mapping[str, str | None]) -> str:
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
