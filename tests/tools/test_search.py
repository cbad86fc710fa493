"""Searching in a real cage."""

import pytest

from tools.bench import Bench

pytestmark = pytest.mark.cage


@pytest.fixture
def files(bench: Bench) -> None:
    (bench.root / "src").mkdir()
    (bench.root / "src" / "a.py").write_text("import os\nclass Alpha:\n    pass\n")
    (bench.root / "src" / "b.py").write_text("class Beta:\n    alpha = 1\n")
    (bench.root / "notes.md").write_text("alpha\n")
    (bench.root / ".git").mkdir(exist_ok=True)
    (bench.root / ".gitignore").write_text("ignored.py\n")
    (bench.root / "ignored.py").write_text("alpha\n")
    (bench.root / ".hidden.py").write_text("alpha\n")


@pytest.mark.usefixtures("files")
async def test_grep(bench: Bench) -> None:
    result = await bench.run("search.grep", pattern="alpha")
    assert result.output.splitlines() == [".hidden.py:1: alpha", "notes.md:1: alpha", "src/b.py:2:     alpha = 1"]
    assert result.detail == {"matches": 3, "more": False}


@pytest.mark.usefixtures("files")
async def test_grep_with_everything(bench: Bench) -> None:
    result = await bench.run(
        "search.grep", pattern="ALPHA", ignore_case=True, glob="*.py", path="src", context=1, limit=1
    )
    assert result.output.splitlines() == [
        "src/a.py-1- import os",
        "src/a.py:2: class Alpha:",
        "src/a.py-3-     pass",
        "[only the first 1 matching lines are shown]",
    ]


@pytest.mark.usefixtures("files")
async def test_grep_finds_nothing_or_fails_plainly(bench: Bench) -> None:
    assert (await bench.run("search.grep", pattern="omega")).output == "No matches."
    bad = await bench.run("search.grep", pattern="(")
    assert not bad.ok
    assert "unclosed group" in bad.output
    nowhere = await bench.run("search.grep", pattern="x", path="none")
    assert not nowhere.ok
    assert "No such file" in nowhere.output


async def test_grep_options_cannot_be_smuggled_in(bench: Bench) -> None:
    (bench.root / "a").write_text("--files\n")
    result = await bench.run("search.grep", pattern="--files")
    assert result.output == "a:1: --files"
    assert not (await bench.run("search.grep", pattern="x", path="--pre=sh")).ok


async def test_grep_is_bounded(bench: Bench) -> None:
    (bench.root / "a").write_text("needle and more of it\n" * 200_000)
    result = await bench.run("search.grep", pattern="needle", ctx=bench.context(limit=2000))
    assert len(result.output) < 2300
    assert "there is more than is shown" in result.output
    assert not (await bench.cage.client.state()).processes


async def test_long_lines_are_cut(bench: Bench) -> None:
    (bench.root / "a").write_text("needle" + "x" * 10_000 + "\n")
    assert len((await bench.run("search.grep", pattern="needle")).output) < 500


@pytest.mark.usefixtures("files")
async def test_find(bench: Bench) -> None:
    result = await bench.run("search.find", pattern="*.py")
    assert result.output.splitlines() == [".hidden.py", "src/a.py", "src/b.py"]
    deep = await bench.run("search.find", pattern="src/**/b*")
    assert deep.output == "src/b.py"
    few = await bench.run("search.find", pattern="*.py", limit=1)
    assert few.output == ".hidden.py\n[2 more]"
    assert (await bench.run("search.find", pattern="*.none")).output == "No files match."
    assert not (await bench.run("search.find", pattern="*", path="none")).ok


async def test_a_search_that_is_made_again_after_a_crash_answers_again(bench: Bench) -> None:
    (bench.root / "a").write_text("x\n")
    await bench.cage.client.run("cage", "c1", ["rg", "--json", "x", str(bench.root)])
    result = await bench.rejoin("search.grep", bench.context("c1"), pattern="x")
    assert result is not None
    assert result.output == "a:1: x"


async def test_without_ripgrep(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    from kaged.tools import search

    run = bench.cage.client.run

    async def elsewhere(cage: str, process: str, argv: list[str], **more: object) -> object:
        return await run(cage, process, ["no-such-rg", *argv[1:]], **more)  # type: ignore[arg-type]

    monkeypatch.setattr(bench.cage.client, "run", elsewhere)
    result = await bench.run("search.grep", pattern="x")
    assert result.output == search._MISSING
