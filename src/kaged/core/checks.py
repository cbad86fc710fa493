"""One thing that was looked at: what the probe of cages, the daemon and `kaged doctor` tell."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """`fix` says what to do when it is not `ok`. A `warning` holds, and has something to say all the same."""

    name: str
    ok: bool
    detail: str
    fix: str = ""
    warning: bool = False
