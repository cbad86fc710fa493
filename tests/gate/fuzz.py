"""Coverage-guided fuzzing of the gate's parsers: `python tests/gate/fuzz.py -runs=100000` (needs atheris).

Each input goes to every parser. What they may raise is part of their contract; all else is a finding.
"""

import contextlib
import sys
from pathlib import Path

import atheris

sys.path[:0] = [str(Path(__file__).resolve().parents[2] / "src")]

with atheris.instrument_imports():
    from kaged.gate import nameserver
    from kaged.gate.broker import Mask, target_of
    from kaged.gate.policy import Denied, plain_path
    from kaged.gate.sniff import classify


def one(data: bytes) -> None:
    """Give an input to all of them."""
    query = nameserver.parse(data)
    if query is not None:
        nameserver.response(query, nameserver.NOERROR, "198.18.0.1")
    for start in (b"", b"\x16\x03\x01", b"\x16\x03\x01\x01\x00\x01\x00\x00\xfc\x03\x03"):
        classify(start + data)
    text = data.decode("latin-1")
    with contextlib.suppress(Denied):
        path = plain_path(text)
        assert not {".", ".."} & set(path.split("/")), path
    with contextlib.suppress(Denied):
        assert target_of(text, "GET", "http", "a.example.com", 80)[0][0] == "/"
    mask = Mask(["secret"])
    half = len(data) // 2
    assert b"secret" not in mask.feed(data[:half]) + mask.feed(data[half:]) + mask.rest()


if __name__ == "__main__":
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()
