"""What `kaged doctor` looks at where kaged is installed for everybody: facts first, then a table of pure checks."""

import os
import pwd
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from kaged.core import clock
from kaged.core.checks import Check
from kaged.core.errors import ConfigError
from kaged.settings import sidecars
from kaged.settings.config import Loaded
from kaged.settings.nonces import CURRENT, PREVIOUS, fingerprint, read_env
from kaged.settings.paths import account_name

ROOM = 1 << 30  # Free bytes in the home below which something will soon fail
SKEW_S = 300.0


@dataclass(frozen=True, slots=True)
class Facts:
    """The host. `files` has owner and permissions of what is there, `env` is None for an env file that may not be read,
    `accepted` the fingerprints of the running daemon's nonces. Times are seconds since the epoch."""

    loaded: Loaded
    files: Mapping[Path, tuple[str, int]]
    unit: str | None
    wanted: bool
    env: Mapping[str, str] | None = field(repr=False)
    accepted: Sequence[str]
    copies: Sequence[sidecars.Copy]
    missing: Sequence[str]  # Accounts named in [auth] sidecar_peers that do not exist
    free: int
    now: float
    hardware: float | None
    newest: float

    def setting(self, name: str) -> str:
        """The last value of a setting of the unit."""
        return str((re.findall(rf"(?m)^{name}=(.*)$", self.unit or "") or [""])[-1]).strip()


def gather(loaded: Loaded, accepted: Sequence[str], root: Path = Path("/")) -> Facts:
    """Look; what this account may not see counts as not there."""
    paths, units = loaded.paths, (root / sidecars.UNITS[0], root / sidecars.UNITS[1])
    files: dict[Path, os.stat_result] = {}
    env, hardware = None, None
    for path in (paths.config_file, paths.env_file, paths.home, paths.database):
        with suppress(OSError):
            files[path] = path.stat()
    with suppress(ConfigError):
        env = read_env(paths.env_file)[1]
    with suppress(OSError, ValueError):
        hardware = float((root / "sys/class/rtc/rtc0/since_epoch").read_text(encoding="ascii"))
    return Facts(
        loaded, {path: (account_name(it.st_uid), it.st_mode & 0o777) for path, it in files.items()},
        next((unit.read_text("utf-8") for it in units if (unit := it / "kaged.service").is_file()), None),
        any(units[0].glob("*.wants/kaged.service")), env, accepted, sidecars.copies(paths.env_file, root),
        [name for peer in loaded.config.auth.sidecar_peers if peer[:4] == "uid:" and not _known(name := peer[4:])],
        shutil.disk_usage(paths.home if paths.home in files else root).free, clock.now(), hardware,
        max((it.st_mtime for it in files.values()), default=0.0),
    )  # fmt: skip


def examine(facts: Facts) -> list[Check]:
    return [check for look in CHECKS for check in look(facts)]


def _files(facts: Facts) -> Iterator[Check]:
    paths, account = facts.loaded.paths, facts.setting("User") or "kaged"
    rows = ((paths.config_file, "root", 0o644), (paths.env_file, account, 0o600), (paths.home, account, 0o700))
    for path, owner, most in rows:
        if path in facts.files:
            found, mode = facts.files[path]
            ok = found in (owner, account) and not mode & ~most
            fix = f"sudo chown {owner}: {path} && sudo chmod {most:o} {path}"
            yield Check(str(path), ok, f"{found}, {mode:o}", fix)
    if more := sorted(set(facts.env or ()) - {CURRENT, PREVIOUS}):
        text = f"also has {', '.join(more)}, which `echo … | sudo tee` of a new nonce would wipe"
        yield Check("env file", True, text, "replace the nonce with: sudo kaged auth rotate-nonce", warning=True)


def _unit(facts: Facts) -> Iterator[Check]:
    if facts.unit is None:
        fix = "copy kaged.service to /etc/systemd/system, then: sudo systemctl daemon-reload"
        yield Check("kaged.service", False, "not installed", fix)
        return
    words = facts.setting("ExecStart").lstrip("@-:+!").split()
    good = bool(words) and os.access(words[0], os.X_OK) and "start" in words
    fix = "in kaged.service: ExecStart=/usr/local/bin/kaged start --mode=system, with the path of the installed program"
    yield Check("kaged.service", good, f"starts {' '.join(words) or 'nothing'}", fix)
    yield Check("at boot", facts.wanted, "starts" if facts.wanted else "does not start", "sudo systemctl enable kaged")
    good = "HUP" in facts.setting("ExecReload") or facts.setting("Type") == "notify-reload"
    fix = "in kaged.service: ExecReload=/bin/kill -HUP $MAINPID, then: sudo systemctl daemon-reload"
    yield Check("systemctl reload", good, "reads the nonces again" if good else "not in the unit", fix)


def _nonces(facts: Facts) -> Iterator[Check]:
    good = {value for name in (CURRENT, PREVIOUS) if (value := (facts.env or {}).get(name))}
    if good and facts.accepted:
        ok = set(map(fingerprint, good)) == set(facts.accepted)
        yield Check("nonce", ok, f"file and daemon {'agree' if ok else 'differ'}", "sudo systemctl reload kaged")
    for copy in facts.copies if good else ():
        if copy.values:
            ok, unit = bool(good & set(copy.values)), copy.service or "<the sidecar>"
            fix = f"put {CURRENT} of {facts.loaded.paths.env_file} there, then: sudo systemctl restart {unit}"
            yield Check(str(copy.path), ok, "has kaged's nonce" if ok else "has another nonce than kaged", fix)


def _host(facts: Facts) -> Iterator[Check]:
    for name in facts.missing:
        yield Check("sidecar peers", False, f"there is no account {name}", f"sudo useradd --system {name}")
    off = max(facts.newest - facts.now, abs((facts.hardware or facts.now) - facts.now))
    said = "plausible" if off <= SKEW_S else f"{off:.0f} s off"
    yield Check("clock", off <= SKEW_S, said, "sudo timedatectl set-ntp true")
    home = facts.loaded.paths.home
    yield Check("room", facts.free >= ROOM, f"{facts.free >> 20} MiB free in {home}", f"free 1 GiB below {home}")


CHECKS: tuple[Callable[[Facts], Iterator[Check]], ...] = (_files, _unit, _nonces, _host)
"""In the order in which they are shown. Pure."""


def _known(account: str) -> bool:
    try:
        return account.isdigit() or bool(pwd.getpwnam(account))
    except KeyError:
        return False
