"""cage explain."""

import json
from typing import Any

CAGE = {"words": "reads and writes this project", "explain": ["rw  /work/app", "no network"], "hash": "abc"}


def test_explain(run: Any, daemon: Any) -> None:
    daemon.routes["GET /projects/app/capabilities"] = {"cage": CAGE}
    result = run("cage", "explain", "app")
    assert (result.code, result.out) == (
        0,
        "app: reads and writes this project\n  rw  /work/app\n  no network\n  plan abc\n",
    )
    assert json.loads(run("cage", "explain", "app", "--json").out) == CAGE


def test_names_are_quoted_into_the_path(run: Any, daemon: Any) -> None:
    assert run("cage", "explain", "../x?y").code == 1
    assert daemon.asked == [("GET /projects/..%2Fx%3Fy/capabilities", None)]
