"""What is said of a call to whoever decides."""

import pytest

from kaged.agents.risk import HIGH, LOW, MEDIUM, risk


@pytest.mark.parametrize(
    ("command", "level", "words"),
    [
        ("ls -l", 0, None),
        ("pytest -q", 0, None),
        ("rm a.txt", MEDIUM, "deletes files"),
        ("cd x && rm -fr build", HIGH, "deletes whole folders"),
        ("find . -name '*.o' -delete", HIGH, "deletes whole folders"),
        ("git push", MEDIUM, "publishes"),
        ("git push --force-with-lease origin main", HIGH, "rewrites what others have"),
        ("git push -uf origin", HIGH, "rewrites what others have"),
        ("git reset HEAD~1 --hard", HIGH, "throws away work in the repository"),
        ("bash -c 'sudo true'", HIGH, "takes more rights"),
        ("curl https://example.com", MEDIUM, "uses the network"),
        ("cat .env", HIGH, "names what looks like a secret"),
        ("cat ~/.ssh/id_ed25519", HIGH, "names what looks like a secret"),
        ("cp a /etc/passwd", LOW, "names files outside the project"),
        ("ls 2>/dev/null", 0, None),
        ("$TOOL now", MEDIUM, "decides only when it runs which program it is"),
        ("cat <<E\nrm -rf x\nE", HIGH, "cannot be read as plain commands (a here-document)"),
        ("echo " + "a" * 3000, MEDIUM, "is 3,005 characters long"),
        ("echo \u202egnp.exe", HIGH, "is not shown as it is"),
        ("echo a\u200bb", HIGH, "is not shown as it is"),
    ],
)
def test_of_commands(command: str, level: int, words: str | None) -> None:
    found, why = risk("shell", {"command": command})
    assert found == level, why
    assert any((words or "") in each for each in why) or (words is None and not why)


@pytest.mark.parametrize(
    ("tool", "path", "level"),
    [
        ("file.write", "src/a.py", 0),
        ("file.write", ".github/workflows/ci.yml", MEDIUM),
        ("file.read", ".github/workflows/ci.yml", 0),
        ("file.edit", "deploy/credentials.json", HIGH),
        ("file.read", ".env", HIGH),
    ],
)
def test_of_files(tool: str, path: str, level: int) -> None:
    assert risk(tool, {"path": path})[0] == level


def test_the_worst_is_said_first_and_what_cannot_be_shown_is_told() -> None:
    found = risk("file.write", {"path": "/etc/x"}, outside=True, cut=True)
    assert found == (HIGH, ["is outside the project", "is too long to be shown whole"])
