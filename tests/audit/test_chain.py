"""Any edit, removal, swap or cut of any line is found."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kaged.audit import chain
from kaged.audit.chain import EMPTY, GENESIS, ChainError, Head, Record
from kaged.audit.log import Audit
from kaged.core.actors import DAEMON
from kaged.telemetry.logs import scrub

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
DETAILS = st.dictionaries(st.text(max_size=10), JSON, max_size=4)


def build(details: list[dict[str, object]]) -> tuple[list[Record], Head]:
    records: list[Record] = []
    last = EMPTY
    for item in details:
        fields = {
            "seq": last.seq + 1, "at": "2026-11-23T22:38:06.123Z", "actor": {"id": "a", "source": "loopback"},
            "action": "tool.call", "object": "c", "outcome": "ok", "details": item, "prev": last.hash,
        }  # fmt: skip
        record = chain.seal(fields)
        last = chain.follow(record, last)
        records.append(record)
    return records, last


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("chain") / "audit.log"


@given(st.lists(DETAILS, max_size=6))
def test_what_is_written_reads_back_and_verifies(details: list[dict[str, object]]) -> None:
    records, last = build(details)
    state = EMPTY
    for record in records:
        again = chain.parse(record.line())
        assert again == record
        state = chain.follow(again, state)
    assert state == last


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_change_of_the_file_is_found(place: Path, data: st.DataObject) -> None:
    records, last = build(data.draw(st.lists(DETAILS, min_size=2, max_size=6)))
    lines = [record.line() for record in records]
    whole = b"".join(lines)
    place.write_bytes(whole)
    assert chain.verify(place, last).ok
    index = data.draw(st.integers(0, len(lines) - 1))
    match data.draw(st.sampled_from(["edit", "insert", "delete", "swap", "repeat", "cut", "bytes"])):
        case "edit":
            at = data.draw(st.integers(0, len(whole) - 1))
            changed = whole[:at] + bytes([whole[at] ^ data.draw(st.integers(1, 255))]) + whole[at + 1 :]
        case "insert":
            at = data.draw(st.integers(0, len(whole) - 1))
            changed = whole[:at] + data.draw(st.binary(min_size=1, max_size=5)) + whole[at:]
        case "delete":
            changed = b"".join(lines[:index] + lines[index + 1 :])
        case "swap":
            other = data.draw(st.integers(0, len(lines) - 1).filter(lambda i: i != index))
            lines[index], lines[other] = lines[other], lines[index]
            changed = b"".join(lines)
        case "repeat":
            changed = b"".join([*lines[: index + 1], *lines[index:]])
        case "cut":
            changed = whole[: data.draw(st.integers(0, len(whole) - 1))]
        case _:
            at = data.draw(st.integers(0, len(whole) - 1))
            changed = whole[:at] + whole[at + data.draw(st.integers(1, 20)) :]
    if changed == whole:
        return
    place.write_bytes(changed)
    report = chain.verify(place, last)
    assert not report.ok and report.problem and report.line


def test_a_forged_record_with_a_right_hash_of_its_own_breaks_the_chain(place: Path) -> None:
    records, last = build([{"n": 1}, {"n": 2}, {"n": 3}])
    second = records[1]
    forged = chain.seal(
        {
            "seq": 2, "at": second.at, "actor": second.actor, "action": second.action, "object": "c",
            "outcome": "ok", "details": {"n": 99}, "prev": second.prev,
        }
    )  # fmt: skip
    place.write_bytes(records[0].line() + forged.line() + records[2].line())
    report = chain.verify(place, last)
    assert not report.ok and report.line == 3 and "does not follow" in (report.problem or "")


def test_a_rewritten_end_with_right_hashes_differs_from_the_stored_head(place: Path) -> None:
    records, last = build([{"n": 1}, {"n": 2}])
    rewritten, _ = build([{"n": 1}, {"n": 99}])
    place.write_bytes(b"".join(record.line() for record in rewritten))
    report = chain.verify(place, last)
    assert not report.ok and report.line == 2 and "stored as the head" in (report.problem or "")
    assert records[0] == rewritten[0]


@pytest.mark.parametrize("start", [1, 2, 3, 4])
def test_the_chain_can_be_checked_from_any_point(place: Path, start: int) -> None:
    records, last = build([{"n": n} for n in range(4)])
    lines = [record.line() for record in records]
    place.write_bytes(b"".join(lines))
    report = chain.verify(place, last, start_seq=start)
    assert report.ok and report.first_seq == start and report.records == 5 - start
    lines[1] = lines[1].replace(b'"n":1', b'"n":8')
    place.write_bytes(b"".join(lines))
    assert chain.verify(place, last, start_seq=start).ok is (start > 2)


def test_the_order_of_keys_inside_details_cannot_be_changed() -> None:
    [record], _ = build([{"a": 1, "b": 2}])
    with pytest.raises(ChainError, match="written as kaged writes it"):
        chain.parse(record.line().replace(b'{"a":1,"b":2}', b'{"b":2,"a":1}'))


def test_the_form_is_fixed_for_ever() -> None:
    """A changed canonical form would break every log that exists."""
    [record], last = build([{"path": "ä", "n": 1.5}])
    assert record.prev == GENESIS
    assert record.line() == (
        b'{"seq":1,"at":"2026-11-23T22:38:06.123Z","actor":{"id":"a","source":"loopback"},'
        b'"action":"tool.call","object":"c","outcome":"ok","details":{"n":1.5,"path":"\\u00e4"},"prev":"'
        + b"0" * 64
        + b'","hash":"'
        + record.hash.encode()
        + b'"}\n'
    )
    assert record.hash == "c322fc913d1fac0a678d7bf2f1741e835f85cd96931ed26986be1b2958c222db"
    assert last.end == len(record.line())


@given(DETAILS)
def test_scrubbing_keeps_plain_json_and_is_stable(details: dict[str, object]) -> None:
    once = scrub(details)
    assert scrub(once) == once


@given(st.lists(st.tuples(st.text(), DETAILS), min_size=1, max_size=5))
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_anything_can_be_recorded(
    tmp_path_factory: pytest.TempPathFactory, items: list[tuple[str, dict[str, object]]]
) -> None:
    path = tmp_path_factory.mktemp("any") / "audit.log"

    async def story() -> None:
        audit = await Audit.open(path)
        for name, details in items:
            await audit.record(DAEMON, "tool.call", name, "ok", details)
        assert (await audit.verify()).records == len(items)
        await audit.close()

    asyncio.run(story())
