"""The plan as it comes over the wire."""

from pathlib import Path
from typing import Any

import pytest

from kaged.core.keeper_wire import KeeperError
from kaged.keeper.plan import DataArg, parse
from real_keeper import LiteralPlan


def wire(**changes: Any) -> dict[str, Any]:
    return {**LiteralPlan(Path("/srv/p")).to_wire(), **changes}


def test_a_good_plan() -> None:
    plan = parse(
        wire(args=["--bind", "/srv/p", "/srv/p", {"data": "passwd"}], placeholders=["/srv/p/.envrc"])
    )
    assert plan.args == ("--bind", "/srv/p", "/srv/p", DataArg("passwd"))
    assert plan.paths() == {"/srv/p"}
    assert plan.data["passwd"][:6] == b"agent:"
    assert plan.limits.to_init() == {
        "memory_bytes": 1 << 30,
        "pids": 128,
        "nofile": 256,
        "fsize_bytes": 1 << 30,
    }
    assert plan.limits.walltime_s == 60.0


def test_limits_may_be_absent() -> None:
    limits = parse(wire(limits={"memory_bytes": None})).limits
    assert (limits.memory_bytes, limits.pids, limits.walltime_s) == (None, None, None)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"hash": 1}, "`plan.hash` must be str"),
        ({"args": "--bind"}, "`plan.args` must be list"),
        ({"args": [5]}, "`plan.args` must be str"),
        ({"args": ["a\0b"]}, "zero byte"),
        ({"args": [{}]}, "`plan.args.data` must be str"),
        ({"data": {"x": "%%%"}}, "`plan.data.x` is not base64"),
        ({"init": []}, "`plan.init` is empty"),
        ({"env": {"KAGED_TOKEN": "x"}}, "holds KAGED_TOKEN"),
        ({"env": {"A": 1}}, "`plan.env` must be str"),
        ({"limits": {"pids": 0}}, "`plan.limits.pids` must be positive"),
        ({"limits": {"pids": True}}, "`plan.limits.pids` must be int"),
        ({"limits": {"walltime_s": float("nan")}}, "walltime_s"),
        ({"placeholders": ["relative"]}, "`plan.placeholders` must hold absolute paths"),
        ({"placeholders": ["/"]}, "`plan.placeholders` must hold absolute paths"),
        ({"guards": [1]}, "`plan.guards` must be str"),
    ],
)
def test_a_bad_plan_names_its_key(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(KeeperError, match=text):
        parse(wire(**changes))
