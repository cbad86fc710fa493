"""The plan as it comes over the wire."""

from pathlib import Path
from typing import Any

import pytest

from kaged.core.keeper_wire import KeeperError
from kaged.keeper.plan import USUAL_PORTS, Limits, parse
from real_keeper import LiteralPlan


def wire(**changes: Any) -> dict[str, Any]:
    return {**LiteralPlan(Path("/srv/p")).to_wire(), **changes}


def test_a_good_plan() -> None:
    plan = parse(wire(args=["--bind", "/srv/p", "/srv/p", {"data": "passwd"}], placeholders=["/srv/p/.envrc"]))
    assert plan.args == ["--bind", "/srv/p", "/srv/p", {"data": "passwd"}]
    assert plan.paths() == {"/srv/p"}
    assert plan.data["passwd"][:6] == b"agent:"
    assert plan.limits == Limits(1 << 30, 128, 256, 1 << 30, 60.0, cpu=None, disk_bytes=None)
    assert plan.net is None


def test_limits_may_be_absent() -> None:
    limits = parse(wire(limits={"memory_bytes": None, "cpu": 1.5, "disk_bytes": 1 << 30})).limits
    assert limits == Limits(None, None, None, None, None, cpu=1.5, disk_bytes=1 << 30)


def test_what_follows_from_the_rules_of_the_network() -> None:
    allow = [{"host": "a.example.com", "port": 443}, {"host": "b.example.com", "port": 9000}]
    net = parse(wire(net={"mode": "enforce", "allow": allow})).net
    assert net is not None
    assert net.ports == tuple(sorted({*USUAL_PORTS, 9000}))
    assert not net.intercepts
    for key in ("http", "secrets"):
        net = parse(wire(net={"mode": "ask", key: [{"host": "c.example.com", "port": 8000}]})).net
        assert net is not None
        assert 8000 in net.ports
        assert net.intercepts


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"hash": 1}, "`plan.hash` must be str"),
        ({"args": "--bind"}, r"`plan.args` must be list\[str"),
        ({"args": [5]}, "`plan.args` must be list"),
        ({"args": ["a\0b"]}, "zero byte"),
        ({"args": [{"data": 1}]}, "`plan.args` must be list"),
        ({"data": {"x": "%%%"}}, "`plan.data` is not base64"),
        ({"init": []}, "`plan.init` is empty"),
        ({"env": {"KAGED_TOKEN": "x"}}, "holds KAGED_TOKEN"),
        ({"env": {"A": 1}}, "`plan.env` must be dict"),
        ({"limits": {"pids": 0}}, "`plan.limits.pids` must be positive"),
        ({"limits": {"pids": True}}, "`plan.limits.pids` must be int"),
        ({"limits": {"walltime_s": float("nan")}}, "walltime_s"),
        ({"placeholders": ["relative"]}, "`plan.placeholders` must hold absolute paths"),
        ({"placeholders": ["/"]}, "`plan.placeholders` must hold absolute paths"),
        ({"guards": [1]}, "`plan.guards` must be list"),
        ({"limits": {"cpu": 0}}, "`plan.limits.cpu` must be positive"),
        ({"net": []}, "`plan.net` must be dict"),
        ({"net": {"allow": ["a.example.com"]}}, "`plan.net.allow` must be list"),
        ({"net": {"allow": [{"host": "a.example.com"}]}}, "`plan.net.port` must be int"),
        ({"net": {"http": [{"port": 70000}]}}, "port that does not exist"),
    ],
)
def test_a_bad_plan_names_its_key(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(KeeperError, match=text):
        parse(wire(**changes))
