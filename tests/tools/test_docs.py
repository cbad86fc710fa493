"""The page about tools names every tool, every argument and every key of `detail`, and no other."""

import re
from pathlib import Path

from kaged.tools.toolbox import Toolbox

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "users" / "tools.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## `([a-z.]+)`\n(.*?)(?=^## )", PAGE, re.M | re.S))


def test_every_tool_has_its_section_with_exactly_its_arguments() -> None:
    box = Toolbox()
    assert tuple(SECTIONS) == box.names
    for spec in box.specs(box.names):
        documented = re.findall(r"^\| `(\w+)` \|", SECTIONS[spec.name], re.M)
        assert documented == list(spec.schema["properties"]), spec.name


def test_every_key_of_detail_is_explained() -> None:
    table = PAGE[PAGE.index("## What a result's `detail` holds") :]
    documented = {key for row in re.findall(r"^\| (`[^|]*) \|", table, re.M) for key in re.findall(r"`(\w+)`", row)}
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "src" / "kaged" / "tools").glob("*.py"))
    for key in documented:
        assert re.search(rf'"{key}"|\b{key}=', source), f"{key} is documented but never set"
