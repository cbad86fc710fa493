"""Ledgers are rebuilt from stored results."""

from kaged.tools.ledger import Ledger


def test_reads_and_writes_count_and_failures_do_not() -> None:
    ledger = Ledger()
    ledger.apply("file.read", True, {"path": "/p/a", "sha256": "1"})
    ledger.apply("file.edit", True, {"path": "/p/b", "sha256": "2"})
    ledger.apply("file.write", False, {"path": "/p/c", "sha256": "3"})
    ledger.apply("shell", True, {"path": "/p/d", "sha256": "4"})
    assert ledger.seen == {"/p/a": "1", "/p/b": "2"}


def test_jobs_are_read_on_from_where_they_were() -> None:
    ledger = Ledger()
    assert ledger.offset["j"] == 0
    ledger.apply("shell", True, {"job": "j", "next_offset": 12})
    assert ledger.offset["j"] == 12
