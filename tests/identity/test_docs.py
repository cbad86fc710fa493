"""What the contract's page and the operators' page promise is what the code does."""

import re
from pathlib import Path

from kaged.identity import gate, headers, loopback, protocol, sockets

ROOT = Path(__file__).resolve().parents[2]
CONTRACT = (ROOT / "docs/adr/0007-auth-sidecar-header-contract.md").read_text(encoding="utf-8")
OPERATORS = (ROOT / "docs/operators/authentication.md").read_text(encoding="utf-8")
SOURCE = "".join(p.read_text(encoding="utf-8") for p in (ROOT / "src/kaged/identity").glob("*.py"))


def test_every_rule_in_the_table_exists() -> None:
    rows = [line.split("|")[1] for line in OPERATORS.splitlines() if re.match(r"\| `[a-z_]+`", line)]
    rules = {rule for row in rows for rule in re.findall(r"`([a-z_]+)`", row)}
    assert len(rules) >= 12
    assert [rule for rule in sorted(rules) if f'"{rule}"' not in SOURCE] == []


def test_the_contract_names_what_is_anonymous_and_what_is_trusted() -> None:
    for path in gate.ANONYMOUS:
        assert f"`{path}`" in CONTRACT, path
    for name in (headers.NONCE, headers.USER_ID, headers.USER_EMAIL, headers.USER_NAME, headers.USER_GROUPS):
        assert f"`{headers.title(name)}`" in CONTRACT


def test_numbers_agree() -> None:
    assert f"more than {headers.MAX_NONCE}, {headers.MAX_ID} or {headers.MAX_EMAIL} bytes" in CONTRACT
    assert f"cut to {headers.MAX_NAME} bytes" in CONTRACT
    assert f"above {protocol.MAX_HEAD // 1024} KiB, or more than {protocol.MAX_HEADERS} header" in CONTRACT
    assert f"code\n{sockets.TOO_OLD.code} after 54 to 60 minutes" in CONTRACT
    assert (sockets.MAX_AGE_S * (1 - sockets.JITTER), sockets.MAX_AGE_S) == (54 * 60, 60 * 60)
    assert str(sockets.SIGNED_OUT.code) in OPERATORS
    assert (loopback.LAUNCH_S, loopback.BROWSER_S) == (10 * 60, 30 * 24 * 3600)


def test_every_demand_on_the_front_door_names_what_exists() -> None:
    page = (ROOT / "docs/contributors/front-door.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1:-1] for line in page.splitlines() if re.match(r"\| \d+ \|", line)]
    assert [int(row[0]) for row in rows] == list(range(1, 30))
    for number, _, places, tests in rows:
        named = re.findall(r"`([^`]+\.(?:py|tsx?|md))`", places)
        assert named or number.strip() == "7", number
        for place in named:
            assert any((ROOT / top / place).is_file() for top in ("", "src/kaged")), place
        assert "::" in tests or number.strip() == "7", number
    for file, name in re.findall(r"`([a-z0-9_/]+\.py)::(\w+)`", page):
        assert re.search(rf"^(async )?def {name}\(", (ROOT / "tests" / file).read_text("utf-8"), re.M), (file, name)
