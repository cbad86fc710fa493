"""How long ended processes are kept."""

import os
from collections.abc import Iterator
from typing import Any

import pytest

from kaged.core.keeper_wire import KeeperError
from kaged.keeper import table as tables
from kaged.keeper.door import HostDoor
from kaged.keeper.loop import Loop
from kaged.keeper.processes import Command, Process
from kaged.keeper.table import Table


class FakeDoor(HostDoor):
    """Pretends to start: pids that nobody has, pipes that only we hold."""

    def start(self, *args: Any, **kwargs: Any) -> tuple[int, int | None]:
        self.last = getattr(self, "last", 10_000_000) + 1
        return self.last, None


@pytest.fixture
def table() -> Iterator[Table]:
    one = Table(Loop(), FakeDoor(), lambda process: None)
    yield one
    one.close()


def start(table: Table, process_id: str) -> Process:
    got: list[Process | KeeperError] = []
    table.start(None, Command(process_id, ("x",), "/", {}, False, None, None), got.append)
    assert isinstance(got[0], Process)
    return got[0]


def ids(table: Table) -> list[str]:
    return [process.command.id for process in table]


def test_the_oldest_ended_are_dropped_but_never_the_running(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MAX_ENDED", 3)
    for number in range(6):
        start(table, f"p{number}")
    for number in (1, 0, 2, 3, 5):
        table.reaped(10_000_001 + number, 0, None)
    assert ids(table) == ["p2", "p3", "p4", "p5"]
    assert [*table.lost] == ["p0", "p1"], "they ran, though nothing is known of them any more"
    with pytest.raises(KeeperError, match="still runs"):
        table.forget("p4")
    table.forget("p2")
    table.forget("p2")
    assert "p2" not in table.lost, "the daemon knows"
    with pytest.raises(KeeperError, match="knows no process p2"):
        table.get("p2")


def test_much_output_counts_too(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MAX_ENDED_BYTES", 1000)
    for number in range(3):
        process = start(table, f"p{number}")
        os.write(process.stream.ring, bytes(600))
        process.stream.refresh()
        table.reaped(10_000_001 + number, 0, None)
    assert ids(table) == ["p2"]


def test_a_start_that_failed_may_have_begun(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        assert [*table.lost] == ["p"], "until it is known"
        raise KeeperError("unavailable", "the cage ended")

    monkeypatch.setattr(FakeDoor, "start", refuse)
    got: list[Process | KeeperError] = []
    table.start(None, Command("p", ("x",), "/", {}, False, None, None), got.append)
    assert isinstance(got[0], KeeperError)
    assert [*table.lost] == ["p"]


def test_an_exit_of_nobody_is_ignored(table: Table) -> None:
    table.exited(77, 0, None)
    table.reaped(77, 0, None)
    process = start(table, "p")
    table.exited(process.tag, 3, None)
    table.exited(process.tag, 4, None)
    assert process.exit is not None
    assert (process.exit.code, process.exit.reason) == (3, "exited")
