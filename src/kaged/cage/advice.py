"""Why a cage could not be made, in words, and the one thing to do about it."""

import re
import tomllib
from pathlib import Path

from kaged.core.errors import KagedError

_TABLE = tomllib.loads((Path(__file__).parent / "data" / "advice.toml").read_text("utf-8"))
_SWITCHES = {
    "no userns": ("proc/sys/user/max_user_namespaces", "0"),
    "root only": ("proc/sys/kernel/unprivileged_userns_clone", "0"),
    "apparmor": ("proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1"),
}


def refuse(key: str, problem: str) -> KagedError:
    """The error for a policy that cannot be carried out, with the key it is about."""
    return KagedError("dsl_invalid", f"{key}: {problem}", {"key": key})


def surroundings(root: Path = Path("/")) -> frozenset[str]:
    """What of the machine changes the advice: `no userns`, `root only`, `apparmor`, `container`."""

    def reads(path: str, value: str) -> bool:
        try:
            return (root / path).read_text().strip() == value
        except OSError:
            return False

    found = {name for name, switch in _SWITCHES.items() if reads(*switch)}
    if any((root / name).exists() for name in (".dockerenv", "run/.containerenv")):
        found.add("container")
    return frozenset(found)


def explain_bwrap_failure(stderr: str, around: frozenset[str] | None = None) -> tuple[str, str]:
    """From bubblewrap's own words to (problem, fix): one sentence each."""
    found = {"", *(surroundings() if around is None else around)}
    for row in _TABLE["rows"]:
        if row.get("where", "") in found and re.search(_TABLE["said"][row["said"]], stderr, re.I):
            return row["problem"], _TABLE["fixes"].get(row["fix"], row["fix"])
    last = (stderr.strip().splitlines() or ["it said nothing"])[-1]
    return (f"bubblewrap could not make the cage: {last}", "run `kaged doctor` and read docs/operators/cage.md")
