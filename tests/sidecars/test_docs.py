"""The pages about deployment say what the files say, and point at what exists."""

import re
from pathlib import Path

import pytest

from kaged.sidecars import recipes
from kaged.sidecars.recipes import RECIPES
from kaged.sidecars.values import FIELDS

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "docs" / "operators"
VALUES = {name: field.example for name, field in FIELDS.items()}


@pytest.mark.parametrize("name", RECIPES)
def test_each_sidecar_has_a_page_with_the_commands_of_every_variant(name: str) -> None:
    page = (PAGES / "sidecars" / f"{name}.md").read_text(encoding="utf-8")
    for variant, recipe in RECIPES[name].items():
        steps = recipes.commands(recipes.render(recipe, VALUES, lambda slot: slot))
        assert "```sh\n" + "\n".join(steps) + "\n```\n" in page, f"the page of {name} has other commands than {variant}"
        assert len(RECIPES[name]) == 1 or variant in page.lower()
    assert "## When it does not work" in page
    assert f"kaged sidecar init {name}" in page
    assert f"[{name}](sidecars/{name}.md)" in (PAGES / "deployment.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("folder", ["systemd", "systemd-user"])
def test_the_commands_of_the_services_are_those_of_their_folders(folder: str) -> None:
    readme = (ROOT / "examples/deployment" / folder / "README.md").read_text(encoding="utf-8")
    block = readme.partition("```sh\n")[2].partition("```")[0]
    block = block.replace("cp kaged.service", f"cp examples/deployment/{folder}/kaged.service")
    assert block in (PAGES / "deployment.md").read_text(encoding="utf-8")


def test_each_deviation_names_a_test_that_exists() -> None:
    text = (PAGES / "guide-deviations.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text)
    assert len(named) == text.count("\n| ") - 1 + 1, "one a row, and the one below the table"
    for file, test in named:
        assert re.search(rf"^(async )?def {test}\(", (ROOT / file).read_text(encoding="utf-8"), re.M), test


@pytest.mark.parametrize("page", sorted(PAGES.rglob("*.md")), ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target
