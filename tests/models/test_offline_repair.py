"""Fix the failing test: the sample for real, and honesty where the trick does not work."""

import ast
from pathlib import Path

import pytest

from kaged.models.offline import decide
from kaged.models.offline.offers import called_code, changes, first_failure, plain_source
from kaged.models.offline.script import Say
from kaged.models.types import UserMessage
from kaged.projects.templates import create_sample
from models.offline_driver import Loop, request, shell_in

FIX = "Fix the failing test."
BUG_FILE, BUG_OLD, BUG_NEW = "pancakes.py", "guests // serves", "guests / serves"


def project(folder: Path, code: str, test: str) -> Loop:
    """A project with one module and one test."""
    (folder / "shop.py").write_text(code)
    (folder / "test_shop.py").write_text(
        f"import unittest\nfrom shop import f\n\n\nclass T(unittest.TestCase):\n    def test_f(self):\n        {test}\n"
    )
    return Loop(folder, shell_in(folder))


async def test_the_sample_is_fixed_at_the_first_try(tmp_path: Path) -> None:
    root = create_sample(tmp_path)
    before = (root / BUG_FILE).read_text()
    loop = Loop(root, shell_in(root))
    said = await loop.run(FIX)
    assert [call.tool for call in loop.calls] == ["shell", "file.read", "file.read", "file.edit", "shell"]
    assert (root / BUG_FILE).read_text() == before.replace(BUG_OLD, BUG_NEW)
    assert "test_six_guests_need_half_as_much_again" in said
    assert "Green: all 4 tests pass" in said
    assert f"- return {{name: amount * ({BUG_OLD})" in said
    assert f"+ return {{name: amount * ({BUG_NEW})" in said


async def test_nothing_to_fix(tmp_path: Path) -> None:
    loop = project(tmp_path, "def f():\n    return 1\n", "self.assertEqual(f(), 1)")
    assert "nothing to fix" in await loop.run(FIX)
    assert len(loop.calls) == 1


@pytest.mark.parametrize(
    ("code", "test"),
    [
        ("def f(items):\n    n = 0\n    for i in range(1, len(items)):\n        n += items[i]\n    return n",
         "self.assertEqual(f([1, 2, 3]), 6)"),
        ("def f(age):\n    return age > 18\n", "self.assertTrue(f(18))"),
        ("def f(a, b):\n    return a - b\n", "self.assertEqual(f(2, 3), 5)"),
        ("def f(n):\n    return sum(range(n))\n", "self.assertEqual(f(4), 10)"),
        ("def f(a):\n    # no\n    return a + a\n\ndef g(a):\n    return a", "self.assertEqual(f(3), 0)"),
    ],
)  # fmt: skip
async def test_usual_slips_are_found(tmp_path: Path, code: str, test: str) -> None:
    loop = project(tmp_path, code, test)
    assert "Green" in await loop.run(FIX)
    ast.parse((tmp_path / "shop.py").read_text())


async def test_what_it_cannot_fix_it_leaves_as_it_was_and_says_so(tmp_path: Path) -> None:
    code = "def f(a):\n    if a > 1:\n        return a - 1\n    return 0\n"
    loop = project(tmp_path, code, "self.assertEqual(f(5), 'five')")
    said = await loop.run(FIX)
    assert (tmp_path / "shop.py").read_text() == code
    assert "still red" in said
    assert "needs a real model or a person" in said
    assert "Green" not in said


async def test_an_error_in_the_code_itself(tmp_path: Path) -> None:
    loop = project(tmp_path, "def f(items):\n    return items[len(items) - 0 + 1 - 1]\n", "self.assertEqual(f([7]), 7)")
    said = await loop.run(FIX)
    assert "IndexError" in said
    assert loop.calls[1].args["path"] == str(tmp_path / "shop.py")


async def test_no_tests_at_all(tmp_path: Path) -> None:
    loop = Loop(tmp_path, shell_in(tmp_path))
    said = await loop.run(FIX)
    assert "I have changed nothing." in said or "nothing to fix" in said
    assert len(loop.calls) == 1


async def test_a_test_that_imports_nothing(tmp_path: Path) -> None:
    (tmp_path / "test_x.py").write_text(
        "import unittest\n\n\nclass T(unittest.TestCase):\n    def test_x(self):\n        self.assertEqual(1, 2)\n"
    )
    loop = Loop(tmp_path, shell_in(tmp_path))
    assert "I cannot tell which code this test checks. I have changed nothing." in await loop.run(FIX)


async def test_a_refused_edit_is_reported(tmp_path: Path) -> None:
    loop = project(tmp_path, "def f():\n    return 1 - 1\n", "self.assertEqual(f(), 2)")
    real = loop.tool
    loop.tool = lambda name, args: (False, "denied") if name == "file.edit" else real(name, args)  # type: ignore[method-assign]
    assert (await loop.run(FIX)).endswith("The edit was refused: denied")


def test_missing_tools_are_named() -> None:
    (step,) = decide(request(UserMessage(FIX), tools=("shell",)), 1)
    assert isinstance(step, Say)
    assert "file.edit, file.read" in step.text


def test_frames_outside_the_project_are_passed_over() -> None:
    output = (
        "FAIL: test_a (t.T.test_a)\n" + "-" * 70 + "\nTraceback (most recent call last):\n"
        '  File "/work/t.py", line 3, in test_a\n    self.assertEqual(g(1), 2)\n'
        '  File "/usr/lib/python3.11/json/decoder.py", line 9, in decode\n    raise X\n'
        "json.decoder.JSONDecodeError: no\n"
    )
    failure = first_failure(output)
    assert failure is not None
    assert (failure.file, failure.function) == ("/work/t.py", "test_a")
    assert failure.line == "self.assertEqual(g(1), 2)"
    assert failure.reason == "json.decoder.JSONDecodeError: no"
    assert first_failure("Ran 0 tests\nOK") is None


def test_numbered_text_loses_its_numbers() -> None:
    assert plain_source("     1\ta\n     2\t\n     3\t  b\n[lines 1 to 3 of 9]") == "a\n\n  b"


def test_where_an_import_lies() -> None:
    source = "import unittest\nimport os\nfrom pkg.other import z\nfrom pkg.mod import e, f\n"
    assert called_code(source, "self.assertEqual(f(1), 2)") == ("pkg/mod.py", ["f"])
    assert called_code(source, "self.assertEqual(1, 2)") == ("", [])


def test_each_change_is_unique_text_and_can_be_taken_back() -> None:
    source = "def f(a):\n    return a + a\n\n\ndef g(a):\n    return a + a\n"
    for old, new in changes(source, ["g"]):
        assert source.count(old) == 1
        changed = source.replace(old, new)
        assert changed.count(new) == 1
        assert changed.replace(new, old) == source
        assert "def f" in changed
        assert changed.split("def g")[0] == source.split("def g")[0]
