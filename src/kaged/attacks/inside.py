"""What the trial runs: the attacks that are asked for, one JSON line each."""

from __future__ import annotations

import json
import sys

from .attempt import Facts, attempt
from .table import ATTACKS


def main() -> None:
    """Arguments: the facts as JSON, then the numbers of the rows."""
    facts = Facts(**json.loads(sys.argv[1]))
    for attack in (ATTACKS[int(index)] for index in sys.argv[2:]):
        outcome, words = attempt(attack, facts)
        print(json.dumps({"attack": attack.name, "outcome": outcome, "words": words}), flush=True)  # noqa: T201
