"""One attack: its row in the table, what it is told about its surroundings, and how it is tried."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass

CAGE = "in the cage"
NO_FILTER = "in a cage without the filter"
OPEN_MOUNTS = "in a cage with open mounts"
NAMESPACE = "in a namespace with all capabilities"
OUTSIDE = "outside, by this account"


class Denied(Exception):
    """A way did not work, for a reason without an error number."""


class NotHere(Exception):
    """This machine or account lacks what it takes to show that a way works."""


@dataclass(frozen=True)
class Facts:
    """What an attack is told: `where` it runs (in the trial project), and what lies around to be reached.

    `inits` are processes whose memory is wanted, `victim` is one to be stopped, with `mark` as its argument.
    `capabilities` are those of the daemon, as a bit set.
    """

    where: str
    secret: str
    homes: list[str]
    numbers: dict[str, int | None]
    machine: str
    hosts: list[str]
    ports: dict[str, int]
    sockets: list[str]
    namespaces: dict[str, str]
    inits: list[int]
    victim: int
    keeper: int
    mark: str
    capabilities: int


Way = Callable[[], object]
Ways = Callable[[Facts], "dict[str, Way]"]
"""The ways to try by name; what a way returns as text is told in addition to its name."""


@dataclass(frozen=True)
class Attack:
    """A row: `name` says what is tried, `control` where the same attempt must succeed. `needs` is the number of a
    capability without which that cannot be shown (capabilities(7)). `slow` rows are left out when the daemon starts."""

    group: str
    name: str
    ways: Ways
    control: str
    needs: int | None = None
    slow: bool = False


def attempt(attack: Attack, facts: Facts) -> tuple[str, str]:
    """Try every way until one gets through: the outcome, in words. The outcome is `through`, `denied`, `not here`, or
    `broken` when the attempt itself failed."""
    refusals: list[str] = []
    try:
        if attack.needs is not None and facts.where != CAGE and not facts.capabilities >> attack.needs & 1:
            raise NotHere("this account lacks the rights")
        for way, work in attack.ways(facts).items():
            try:
                result = work()
            except (Denied, OSError, ValueError, subprocess.SubprocessError) as error:
                refusals.append(_reason(error))
            else:
                return "through", f"{way}: {result}" if isinstance(result, str) else way
    except NotHere as error:
        return "not here", str(error)
    except Exception as error:  # noqa: BLE001  told to the outside, where it counts as inconclusive
        return "broken", repr(error)
    return "denied", ", ".join(dict.fromkeys(refusals))


def _reason(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        return (error.stderr.decode("utf-8", "replace").strip() or "the program failed").splitlines()[-1].lower()
    if isinstance(error, OSError) and error.errno is not None:
        return (error.strerror or os.strerror(error.errno)).lower()
    return str(error)
