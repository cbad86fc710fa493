"""File tools in a real cage."""

from pathlib import Path

import pytest

from kaged.tools.files import MAX_BYTES
from tools.bench import Bench, bench_in

pytestmark = pytest.mark.cage


async def test_reading_numbers_the_lines(bench: Bench) -> None:
    (bench.root / "a.txt").write_text("one\r\ntwo\n\nfour")
    result = await bench.run("file.read", path="a.txt")
    assert result.output == "     1\tone\n     2\ttwo\n     3\t\n     4\tfour"
    assert result.detail["lines"] == 4


async def test_reading_a_part(bench: Bench) -> None:
    (bench.root / "a.txt").write_text("".join(f"l{n}\n" for n in range(1, 101)))
    result = await bench.run("file.read", path="a.txt", offset=10, limit=2)
    assert result.output == "    10\tl10\n    11\tl11\n[lines 10 to 11 of 100; go on with offset=12]"
    past = await bench.run("file.read", path="a.txt", offset=101)
    assert (past.ok, past.output) == (False, "a.txt has only 100 lines.")


async def test_reading_is_bounded(bench: Bench) -> None:
    (bench.root / "a.txt").write_text("x" * 5000 + "\n" + "".join(f"line {n}\n" for n in range(10_000)))
    result = await bench.run("file.read", path="a.txt", ctx=bench.context(limit=3000), limit=100_000)
    assert len(result.output) < 3300
    assert "… [3,000 more characters]" in result.output
    assert "go on with offset=" in result.output


async def test_a_huge_file_is_read_up_to_a_point(bench: Bench) -> None:
    with (bench.root / "big").open("wb") as file:
        file.write(b"word\n" + b"more\n" * (MAX_BYTES // 5 + 10))
    result = await bench.run("file.read", path="big", offset=MAX_BYTES // 5)
    assert result.ok
    assert "of more than" in result.output
    refused = await bench.run("file.edit", path="big", old_string="word", new_string="x")
    assert "change it with `shell`" in refused.output


async def test_empty_missing_and_odd_files(bench: Bench) -> None:
    (bench.root / "empty").touch()
    assert (await bench.run("file.read", path="empty")).output == "empty is empty."
    missing = await bench.run("file.read", path="sub/none")
    assert (missing.ok, missing.output) == (False, "sub/none does not exist.")
    assert "of the host" in (await bench.run("file.read", path="/root/.bashrc")).output
    assert "neither a file nor a folder" in (await bench.run("file.read", path="/dev/zero")).output


async def test_binary_files_are_described_not_shown(bench: Bench) -> None:
    (bench.root / "i.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 100)
    (bench.root / "b").write_bytes(bytes(range(256)))
    image = await bench.run("file.read", path="i.png")
    assert image.output.startswith("i.png is a PNG image of 108 bytes, not text")
    assert (await bench.run("file.read", path="b")).output.startswith("b is a binary file of 256 bytes")


async def test_a_folder_is_listed(bench: Bench) -> None:
    (bench.root / "sub").mkdir()
    (bench.root / "a.txt").write_text("abc")
    (bench.root / "link").symlink_to("a.txt")
    result = await bench.run("file.read", path=".")
    assert "a.txt  3 bytes" in result.output
    assert "sub/" in result.output
    assert "link@" in result.output
    assert result.detail["directory"] is True


async def test_writing_a_new_file_makes_its_folders(bench: Bench) -> None:
    result = await bench.run("file.write", path="a/b/c.txt", content="héllo\n")
    assert (bench.root / "a/b/c.txt").read_text() == "héllo\n"
    assert result.output == "Created a/b/c.txt: +1 -0 lines, 7 bytes."
    assert result.detail["diff"] == "--- /dev/null\n+++ b/a/b/c.txt\n@@ -0,0 +1 @@\n+héllo\n"
    again = await bench.run("file.write", path="a/b/c.txt", content="bye\n")
    assert again.ok, "what one wrote oneself need not be read first"


async def test_an_existing_file_must_have_been_read(bench: Bench) -> None:
    (bench.root / "a.txt").write_text("old\n")
    for tool, args in (("file.write", {"content": "x"}), ("file.edit", {"old_string": "old", "new_string": "x"})):
        refused = await bench.run(tool, path="a.txt", **args)
        assert "read it with `file.read` before you change it" in refused.output
    await bench.run("file.read", path="a.txt")
    (bench.root / "a.txt").write_text("meanwhile\n")
    refused = await bench.run("file.write", path="a.txt", content="x")
    assert "has changed since you read it" in refused.output
    assert (bench.root / "a.txt").read_text() == "meanwhile\n"


async def test_editing(bench: Bench) -> None:
    (bench.root / "a.py").write_text("def f():\n    return 1\n")
    (bench.root / "a.py").chmod(0o755)
    await bench.run("file.read", path="a.py")
    result = await bench.run("file.edit", path="a.py", old_string="return 1", new_string="return 2")
    assert result.output == "Changed a.py: +1 -1 lines, 22 bytes."
    assert "-    return 1\n+    return 2\n" in result.detail["diff"]
    assert (bench.root / "a.py").stat().st_mode & 0o777 == 0o755
    more = await bench.run("file.edit", path="./a.py", old_string="f", new_string="g", replace_all=True)
    assert "in 2 places" in more.output


async def test_an_edit_that_does_not_match_says_what_is_near(bench: Bench) -> None:
    (bench.root / "a.py").write_text("def f():\n\treturn 1\n")
    await bench.run("file.read", path="a.py")
    result = await bench.run("file.edit", path="a.py", old_string="    return 1", new_string="x")
    assert result.output.startswith("a.py: `old_string` was not found, but line 2 differs only in white space")


async def test_latin1_is_not_edited(bench: Bench) -> None:
    (bench.root / "l.txt").write_bytes(b"caf\xe9 " * 3000)
    bench.ledger.seen[str(bench.root / "l.txt")] = "x"
    refused = await bench.run("file.edit", path="l.txt", old_string="caf", new_string="x")
    assert not refused.ok


async def test_protected_files_are_refused_with_the_reason(bench: Bench) -> None:
    await bench.run("file.read", path=".kaged/project.yaml")
    refused = await bench.run("file.edit", path=".kaged/project.yaml", old_string="1", new_string="2")
    assert "`.kaged/project.yaml` is protected: the cage mounts it read-only" in refused.output
    assert refused.detail["reason"] == "denied"
    assert "lies outside the project" in (await bench.run("file.write", path="/usr/x", content="")).output


async def test_hidden_folders_do_not_exist(tmp_path: Path, short_tmp: Path) -> None:
    root = tmp_path / "demo"
    (root / "secrets").mkdir(parents=True)
    (root / "secrets" / "key").write_text("hush")
    rules = [{"path": "project:/", "mode": "rw"}, {"path": "project:/secrets", "mode": "hidden"}]
    async with bench_in(root, short_tmp, fs=rules) as bench:
        assert "does not exist" in (await bench.run("file.read", path="secrets/key")).output


@pytest.mark.parametrize("path", ["../outside", "/etc/shadow", "a\0b", ""])
async def test_paths_lead_nowhere_else(bench: Bench, path: str) -> None:
    (bench.root.parent / "outside").write_text("outside")
    result = await bench.run("file.read", path=path)
    assert not result.ok
    assert "outside\n" not in result.output


async def test_a_symbolic_link_leads_to_what_the_cage_has_there(bench: Bench) -> None:
    (bench.root.parent / "outside").write_text("outside")
    (bench.root / "link").symlink_to(bench.root.parent / "outside")
    assert "does not exist" in (await bench.run("file.read", path="link")).output
