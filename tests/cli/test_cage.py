"""cage explain."""

import json
from typing import Any

from ruamel.yaml import YAML

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


def test_learn_prints_what_belongs_into_the_overlay(run: Any, daemon: Any) -> None:
    hosts = ["*:443", "api.example.com:443"]
    daemon.routes |= {"GET /projects/app/network": {"proposal": hosts}, "PUT /projects/app/network": {}}
    result = run("cage", "learn", "app")
    assert result.code == 0
    assert YAML(typ="safe").load(result.out) == {"primary": {"cage": {"net": {"mode": "enforce", "allow": hosts}}}}
    assert daemon.asked == [("GET /projects/app/network", None)], "nothing is written unasked"
    written = run("cage", "learn", "app", "--write")
    assert (written.code, "api.example.com:443" in written.out) == (0, True)
    assert daemon.asked[-1] == ("PUT /projects/app/network", {"mode": "enforce", "allow": hosts})


def test_learn_of_nothing_writes_nothing(run: Any, daemon: Any) -> None:
    daemon.routes["GET /projects/app/network"] = {"proposal": []}
    result = run("cage", "learn", "app", "--write")
    assert (result.code, "set `mode: learn`" in result.err) == (1, True)
    assert len(daemon.asked) == 1
