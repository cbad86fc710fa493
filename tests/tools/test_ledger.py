"""Ledgers are rebuilt from stored results."""

from kaged.tools.ledger import JobLedger, ReadLedger


def test_reads_and_writes_count_and_failures_do_not() -> None:
    ledger = ReadLedger()
    ledger.apply("file.read", True, {"path": "/p/a", "sha256": "1"})
    ledger.apply("file.edit", True, {"path": "/p/b", "sha256": "2"})
    ledger.apply("file.write", False, {"path": "/p/c", "sha256": "3"})
    ledger.apply("shell", True, {"path": "/p/d", "sha256": "4"})
    assert [ledger.version(f"/p/{name}") for name in "abcd"] == ["1", "2", None, None]


def test_jobs_are_read_on_from_where_they_were() -> None:
    ledger = JobLedger()
    assert ledger.offset("j") == 0
    ledger.apply({"job": "j", "next_offset": 12})
    assert ledger.offset("j") == 12
