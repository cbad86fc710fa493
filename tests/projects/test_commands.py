"""Command lines taken apart, with bash itself as the judge: programs that only note how they were called."""

import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from kaged.projects.commands import Unclear, is_plainly, take_apart
from kaged.projects.model import STRICT, Rule, Verdict, of_command

AUTO, ASKS = Verdict("auto", "default"), Verdict("ask", "default")
RULES = (Rule(match="git push *", approval="ask"), Rule(match="rm -rf *", approval="deny"))
PLAIN = ["git push origin", "git status -s", "rm -rf build", "ls -l", "npm test", "rm one", "git commit -m push"]
SPELT = [
    "'git' push", 'g"i"t pu\'\'sh x', "\\git push", "A=1 git push", "A=1 B='x y' git push", "git -C . push --force",
    "rm -fr y", "rm -r -f y", "rm -r y -vf", "r\\m -rf y", "'rm' \"-rf\" y", "git\tpush", "git pu\\\nsh",
]  # fmt: skip


def verdict(line: str, default: Verdict = AUTO) -> int:
    return STRICT[of_command(line, default, RULES).approval]


@dataclass
class Bash:
    """A bash whose only programs are a few real ones that run others, and some that only note their arguments."""

    folder: Path

    def called(self, line: str) -> list[list[str]]:
        log = Path(tempfile.mkdtemp(dir=self.folder))  # one that is late writes into no other's
        env = {"PATH": str(self.folder / "bin"), "LOG": str(log)}
        ran = [str(self.folder / "bin" / "bash"), "-c", line]
        subprocess.run(
            ran, env=env, cwd=self.folder / "work", stdin=subprocess.DEVNULL, capture_output=True, timeout=20
        )
        calls = [call.read_bytes().decode(errors="replace").split("\0")[:-1] for call in log.iterdir()]
        return [call for call in calls if call]

    def worst(self, line: str) -> int:
        """What the rules say of the commands that really ran, by their arguments alone."""
        found = [0]
        for program, *words in self.called(line):
            flags = {letter for word in words if word[:1] == "-" and word[:2] != "--" for letter in word[1:]}
            found.append(2 if program == "rm" and {"r", "f"} <= flags else 0)
            found.append(1 if program == "git" and words[:1] == ["push"] else 0)
        return max(found)


@pytest.fixture(scope="module")
def bash(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bash]:
    folder = tmp_path_factory.mktemp("bash")
    (folder / "bin").mkdir()
    (folder / "work").mkdir()
    for name in ("git", "rm", "ls", "npm"):
        note = f'#!{shutil.which("sh")}\nprintf "%s\\0" {name} "$@" >"$LOG/$$"\n'
        (folder / "bin" / name).write_text(note)
        (folder / "bin" / name).chmod(0o755)
    for name in ("bash", "sh", "env", "xargs", "timeout", "nice", "nohup", "cat"):
        (folder / "bin" / name).symlink_to(str(shutil.which(name)))
    yield Bash(folder)


def wrapped(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    two = st.tuples(inner, inner)
    joined = [" ; ", " && ", " || ", " | ", " & ", "\n", ";", "|", " # no comment ends here\n", " |& ", "&&"]
    return st.one_of(
        st.tuples(two, st.sampled_from(joined)).map(lambda it: it[1].join(it[0])),
        inner.map(lambda a: f"( {a} )"),
        inner.map(lambda a: f"{{ {a}\n}}"),
        inner.map(lambda a: f"ls $({a})"),
        inner.map(lambda a: f'ls "x $({a}) y"'),
        inner.map(lambda a: f"ls `{a}`"),
        inner.map(lambda a: f"ls <({a})"),
        inner.map(lambda a: f"X=$({a}) npm test"),
        inner.map(lambda a: f"ls ${{X:-$({a})}}"),
        inner.map(lambda a: f"ls > $({a})"),
        inner.map(lambda a: f"bash -c {shlex.quote(a)}"),
        inner.map(lambda a: f"env -i PATH=$PATH LOG=$LOG sh -c {shlex.quote(a)} name"),
        inner.map(lambda a: f"nice timeout 5 bash -ec {shlex.quote(a)}"),
        inner.map(lambda a: f"eval {shlex.quote(a)}"),
        inner.map(lambda a: f"trap {shlex.quote(a)} EXIT"),
        inner.map(lambda a: f"bash <<< {shlex.quote(a)}"),
        inner.map(lambda a: f"sh <<'END'\n{a}\nEND\n"),
        inner.map(lambda a: f"f() {{ {a}\n}}; f"),
        inner.map(lambda a: f"if true; then {a}\nfi"),
        inner.map(lambda a: f"for i in 1 2; do {a}\ndone"),
        inner.map(lambda a: f"while {a}\n do break; done"),
        inner.map(lambda a: f"! {a}"),
        inner.map(lambda a: f"set 1; for i do {a}\ndone"),
        inner.map(lambda a: f"ls | for i in do; do {a}; done"),
        inner.map(lambda a: f"echo {shlex.quote(a)} | bash -s x"),
        inner.map(lambda a: f"echo {shlex.quote(a)} | bash -o pipefail"),
        inner.map(lambda a: f"echo {shlex.quote(a)} | bash /dev/stdin x"),
        inner.map(lambda a: f"env -S{shlex.quote(a.replace(chr(10), ' '))}"),
        inner.map(lambda a: f"env --split-string={shlex.quote(a.replace(chr(10), ' '))}"),
        inner.map(lambda a: f"let 'a[$({a})]=1'" if "'" not in a else a),
        inner.map(lambda a: f"[[ 'a[$({a})]' -eq 0 ]]" if "'" not in a else a),
        inner.map(lambda a: f"{a} > file 2>&1"),
        inner.map(lambda a: f"case x in x) {a};; esac"),
        inner.map(lambda a: f"G={shlex.quote(a)}; $G"),
        inner.map(lambda a: f"{a.partition(' ')[0]} $(printf %s {shlex.quote(a.partition(' ')[2])})"),
        inner.map(lambda a: f"printf %s {shlex.quote(a.partition(' ')[2])} | xargs {a.partition(' ')[0]}"),
        inner.map(lambda a: f"alias ls={shlex.quote(a)}; ls"),
        inner.map(lambda a: f"source /dev/stdin <<< {shlex.quote(a)}"),
        inner.map(lambda a: f"echo {shlex.quote(a)} | sh"),
    )


LINES = st.recursive(st.sampled_from([*PLAIN, *SPELT]), wrapped, max_leaves=4)
WORDS = [
    "git", "push", "rm", "-rf", "-r", "y", ";", "|", "&&", "&", "(", ")", "'", '"', "\\", "$(", "`", "{", "}", "\n",
    " ", " ", " ", "<", "<<<", ">", ">&", "#", "=", "A=1", "if", "then", "fi", "do", "sh -c ", "eval", "$X", "${",
    "!", "*", "[", "$'", "git push", "rm -rf y", "env ", "xargs ", "<<E\n", "E\n", "time ", "\r", "\x0b", "\xa0", "2",
    "~", "f()", "for i ", "in x ", "bash -s ", "-c ", "let ", "a[", "[[", "$((", "))",
]  # fmt: skip
SLOW = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


@SLOW
@given(LINES)
def test_no_line_is_judged_laxer_than_what_bash_runs_of_it(bash: Bash, line: str) -> None:
    assert verdict(line) >= bash.worst(line), bash.called(line)


@SLOW
@given(st.lists(st.sampled_from(WORDS), max_size=14).map("".join))
@example("git 2>x push")
@example("rm$'\\x20'-rf y")
@example("git\xa0push;git push")
@example("if rm -rf y; then ls; fi")
@example("[[ x ]] && rm -rf y")
def test_nor_is_any_jumble_of_what_a_shell_reads(bash: Bash, line: str) -> None:
    assert verdict(line) >= bash.worst(line), bash.called(line)


@given(LINES, LINES, st.sampled_from(["; ", " && ", " || ", " | ", "\n"]), st.sampled_from([AUTO, ASKS]))
def test_a_composed_line_is_at_least_as_strict_as_its_parts(one: str, two: str, how: str, default: Verdict) -> None:
    rules = (*RULES, Rule(match="git status *", approval="auto"), Rule(match="ls *", approval="auto"))

    def judge(line: str) -> int:
        return STRICT[of_command(line, default, rules).approval]

    if "<<'END'" not in one:  # whose text would go on
        assert judge(one + how + two) >= max(judge(one), judge(two))


@given(st.text(max_size=300))
def test_any_text_is_taken_apart_or_said_to_be_unclear(line: str) -> None:
    try:
        assert all(each.words for each in take_apart(line))
    except Unclear as unclear:
        assert str(unclear)


@pytest.mark.parametrize(
    "line", [*SPELT[:6], "sudo -u bob git push", "/usr/bin/git push", "echo x | xargs git", "$G push"]
)
def test_other_spellings_of_a_command_are_that_command(line: str) -> None:
    assert verdict(line) >= 1


@pytest.mark.parametrize(
    "line",
    [
        "cat <<E\nhi\nE", "f() { ls; }; f", "eval ls", "echo ls | bash", "source x", ". x", "alias ls=git", "ls \\",
        "bash", "sh -s", "ls ${X:-1}", "ls $'a'", "echo $((1+1))", "ls 'x", "ls )", "(ls", "trap ls EXIT",
        "case x in x) ls;; esac",
        "( " * 50 + "ls" + " )" * 50, "xargs " + "a " * 200, ";ls" * 5_000,
    ],
)  # fmt: skip
def test_what_is_not_certain_gets_the_strictest_verdict_of_any_rule(line: str) -> None:
    found = of_command(line, AUTO, RULES)
    assert found.approval == "deny"
    assert "rm -rf *" in found.rule and "since the command has" in found.rule
    assert of_command(line, AUTO, ()).approval == "auto", "without rules nothing changes"
    assert of_command(line, ASKS, (Rule(match="ls *", approval="auto"),)).approval == "ask"


@pytest.mark.parametrize(
    "line", ["git status", "git status -s", "git 'status' x", "(git status)", "git status 2>/dev/null"]
)
def test_a_laxer_rule_counts_for_its_own_words_only(line: str) -> None:
    rules = (Rule(match="git status *", approval="auto"),)
    assert of_command(line, ASKS, rules).approval == "auto"
    for spoilt in (
        f"A=1 {line}",
        f"{line} > x",
        f"env {line}",
        f"{line} $X",
        f"{line} *",
        f"./{line}",
        f"{line}; ls",
        f"PATH=x; {line}",
        f"{{ {line}; }} >x",
    ):
        assert of_command(spoilt, ASKS, rules).approval == "ask", spoilt


@pytest.mark.parametrize(
    ("pattern", "line", "fits"),
    [
        ("npm run *", "npm run test -- --all", True),
        ("npm run test:*", "npm run test:unit", True),
        ("npm run test:*", "npm run test:unit more", False),
        ("cat docs/*", "cat docs/x /etc/passwd", False),
        ("git * status *", "git -C . status -s", False),
        ("git * status *", "git -v status -s", True),
        ("npm * test", "npm run test", True),
        ("ls", "ls -l", False),
        ("* --help", "anything --help", True),
        ("* --help", "anything at all --help", False),
    ],
)
def test_wildcards(pattern: str, line: str, fits: bool) -> None:
    (command,) = take_apart(line)
    assert is_plainly(tuple(pattern.split()), command) is fits


def test_a_long_line_is_judged_in_no_time() -> None:
    for line in ("ls # " * 20_000, "echo $(" * 20_000, "x " * 50_000, "time " * 20_000, "`" * 100_000):
        verdict(line)
