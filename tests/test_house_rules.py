"""The rules of the house that a machine can check."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted((ROOT / "src").rglob("*.py"))
UI_SOURCES = sorted(p for suffix in ("*.ts", "*.tsx", "*.css") for p in (ROOT / "ui" / "src").rglob(suffix))


def lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


@pytest.mark.parametrize("path", SOURCES + UI_SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_module_is_over_500_lines(path: Path) -> None:
    assert lines(path) <= 500


def documented(tree: ast.Module) -> set[int]:
    """The lines of docstrings."""
    found: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.body:
            first = node.body[0]
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                found.update(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    return found


def code(path: Path) -> int:
    """Lines of code: not the empty ones, on which the formatter decides, nor what explains (ADR-0008)."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        left_out = documented(ast.parse(text))
        lines = [line for number, line in enumerate(text.splitlines(), 1) if number not in left_out]
        return sum(bool(line.strip()) and not line.lstrip().startswith("#") for line in lines)
    without = re.sub(r"^\s*/\*(?:(?!\*/)[\s\S])*\*/[ \t]*$|^[ \t]*//.*$", "", text, flags=re.M)
    return sum(bool(line.strip()) for line in without.splitlines())


def test_the_whole_stays_small() -> None:
    assert sum(map(code, SOURCES)) < 25_000
    assert sum(map(code, UI_SOURCES)) < 15_000


def test_what_explains_is_not_counted(tmp_path: Path) -> None:
    module, sheet = tmp_path / "a.py", tmp_path / "a.ts"
    module.write_text('"""Of\ntwo."""\n\n# why\ndef f() -> str:\n    """Says."""\n    return """two\nlines"""  # so\n')
    sheet.write_text("/** Of\n * three\n */\n// why\nexport const a = 1; // so\n/* one */ const b = 2;\n")
    assert (code(module), code(sheet)) == (3, 2)


def test_every_room_stays_small_and_says_what_it_owns() -> None:
    for room in sorted(p for p in (ROOT / "src" / "kaged").iterdir() if (p / "__init__.py").exists()):
        assert sum(lines(p) for p in room.rglob("*.py")) < 3_000, room.name
        doc = ast.get_docstring(ast.parse((room / "__init__.py").read_text(encoding="utf-8")))
        assert doc and len(doc) > 60, f"{room.name}/__init__.py says too little"


def test_functions_stay_short() -> None:
    long: list[str] = []
    total = 0
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                total += 1
                size = (node.end_lineno or node.lineno) - node.lineno + 1
                if size > 60:
                    long.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name} ({size})")
    assert not long, "functions over 60 lines: " + ", ".join(long)
    assert total > 0


BANNED = re.compile(r"\bTODO\b|\bFIXME\b|\bXXX\b|NotImplementedError|shell=True|except Exception:|except:\s*$", re.M)


@pytest.mark.parametrize("path", SOURCES + UI_SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_unfinished_work(path: Path) -> None:
    assert not BANNED.findall(path.read_text(encoding="utf-8"))


def test_runtime_dependencies_stay_few() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert len(project["dependencies"]) < 25


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check", "src", "tests", "benchmarks", "scripts"],
        ["ruff", "format", "--check", "src", "tests", "benchmarks", "scripts"],
        ["mypy"],
        ["lint-imports"],
    ],
    ids=lambda c: " ".join(c[:2]),
)
@pytest.mark.timeout(300)
def test_static_checks(command: list[str]) -> None:
    tool = Path(sys.executable).parent / command[0]
    result = subprocess.run([str(tool), *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
