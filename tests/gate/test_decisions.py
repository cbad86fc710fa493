"""Events: bounded, and none of them lost from the counts."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaged.gate import decisions
from kaged.gate.decisions import Account, Decisions, Window


def denied(host: str, reason: str = "no rule allows it") -> dict[str, object]:
    return Account(host, 443, "tls").event("c1", "denied", "closed", reason)


def allowed(host: str, up: int = 1) -> dict[str, object]:
    return Account(host, 443, "tls", rule="allow", up=up).event("c1", "allowed", "closed")


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 400)), max_size=600))
def test_counts_add_up_and_hosts_stay_apart(made: list[tuple[bool, int]]) -> None:
    window, told = Window(), []
    for yes, number in made:
        event = window.add(allowed(f"h{number}") if yes else denied(f"h{number}"))
        told += [event] if event else []
    told += window.drain()
    assert sum(event["count"] for event in told) == len(made)
    assert sum(event["up"] for event in told) == sum(yes for yes, _ in made)
    wanted = Counter((("allowed" if yes else "denied"), f"h{number}") for yes, number in made)
    for verdict in ("allowed", "denied"):
        hosts = Counter()
        for event in told:
            if event["verdict"] == verdict:
                hosts[event["host"]] += event["count"]
        assert all(hosts[host] == wanted[verdict, host] for host in hosts if host)
        assert hosts[""] == 0 or len(told) > decisions.MOST[verdict]
    assert sum(event["verdict"] == "denied" for event in told) <= 2 * 100 + 1


def test_a_flood_of_either_kind_is_few_events() -> None:
    window = Window()
    told = [event for n in range(20_000) for event in (window.add(denied(f"h{n}")), window.add(allowed("a"))) if event]
    told += window.drain()
    assert len(told) == 100 + 1 + 500 + 1
    assert [event["count"] for event in told if event["host"] == ""] == [19_900, 19_500]
    assert sum(event["up"] for event in told) == 20_000
    window = Window()
    assert sum(window.add(allowed(f"h{n}")) is not None for n in range(20_000)) == 500
    assert [(event["host"], event["count"]) for event in window.drain()] == [("", 19_500)]


def test_a_denial_is_told_at_once_and_the_like_of_it_later() -> None:
    window = Window()
    assert window.add(denied("a"))["count"] == 1
    assert window.add(denied("a")) is None and window.add(denied("a")) is None
    assert window.add(denied("a", "other"))["reason"] == "other"
    assert [(event["host"], event["count"]) for event in window.drain()] == [("a", 2)]


async def test_a_window_ends_by_itself_and_a_new_one_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio

    monkeypatch.setattr(decisions, "WINDOW_S", 0.01)
    told, news = [], asyncio.Queue()

    def emit(event: dict[str, object]) -> None:
        told.append(event["count"])
        news.put_nowait(event)

    keeper = Decisions("c1", emit)
    for _ in range(5):
        keeper.denied(Account("a", 1, "tcp"), "no")
    for _ in range(2):
        await asyncio.wait_for(news.get(), 30)
    keeper.denied(Account("a", 1, "tcp"), "no")
    await asyncio.wait_for(news.get(), 30)
    keeper.flush()
    assert told == [1, 4, 1]


def test_what_an_agent_chose_is_cut() -> None:
    event = Account("a", 1, "http", method="X" * 99, path="/" * 99_999).event("c1", "denied", "closed", "no")
    assert len(event["method"]) == 32 and len(event["path"]) == 512
