"""Escapes through the file system that must fail, through a real keeper, each with its control.

The numbers are those of the attack list: T36 to T40.
"""

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from attacks.yard import Yard, open_at, open_yard
from cage.harness import start as start_bare
from kaged.cage.client import KeeperClient
from kaged.cage.compile import compile_plan
from kaged.core.errors import KagedError
from kaged.projects.cage_spec import CageSpec
from real_keeper import mark, marked, until

pytestmark = [pytest.mark.cage, pytest.mark.asyncio(loop_scope="module")]


# --- T36: putting keys into a terminal ---

INJECT = """
import fcntl, json, os, termios
print(json.dumps({name: attempt(request) for name, request in {
    "TIOCSTI": 0x5412, "high bits": 0x5412 | 1 << 32, "TIOCLINUX": 0x541C, "TIOCSETD": 0x5423,
    "TIOCGWINSZ": 0x5413}.items()}))
"""
ATTEMPT = """
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
libc.ioctl.argtypes = [ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p]
def attempt(request):
    result = libc.ioctl(0, request, ctypes.create_string_buffer(b"x" + bytes(16)))
    return "ok" if result == 0 else errno.errorcode[ctypes.get_errno()]
"""


async def test_t36_no_keys_are_put_into_the_terminal(yard: Yard) -> None:
    text = await yard.python(ATTEMPT + INJECT, pty=(80, 24))
    answers = json.loads(text.strip().splitlines()[-1])
    assert answers.pop("TIOCGWINSZ") == "ok"
    assert set(answers.values()) == {"EPERM"}


async def test_the_controls_of_the_filter_are_real(around: Path) -> None:
    """The same attempt without the filter reaches the kernel: the answers above are the filter's."""
    plan = compile_plan(CageSpec(), around / "project", name="x", environ={})
    script = ATTEMPT + "import os\nm, s = os.openpty()\nos.dup2(s, 0)\nprint(attempt(0x5423))"
    with start_bare(replace(plan, env=()), [plan.host.python, "-I", "-c", script], filtered=False) as process:
        out, err = process.communicate(timeout=60)
    assert out.strip() != "EPERM", err


# --- T37: values that look like options ---


@pytest.mark.parametrize("name", ["--bind", "-x", "new\nline", "quo'te\"s $(id) `id`", "ünï códe", "sp ace\t", "\\134"])
async def test_t37_a_projects_name_is_never_an_option(client: KeeperClient, around: Path, name: str) -> None:
    root = around / name
    root.mkdir()
    (root / "here").write_text("yes")
    yard = await open_at(client, around, root)
    assert await yard.sh("cat here; cat ../secret 2>/dev/null; ls -A ..") == f"yes{name}\n" or "\n" in name
    assert "hunter2" not in await yard.sh("cat ../secret; ls -A ..")
    await client.drop_cage(yard.id)


async def test_t37_environment_and_folder_are_values(yard: Yard) -> None:
    hostile = "--ro-bind\n/\n/host"
    text = await yard.sh('printf %s "$X"; ls /host 2>&1', env={"X": hostile})
    assert text[: len(hostile)] == hostile and "No such file" in text
    with pytest.raises(KagedError):
        await yard.sh("true", env={"X": "a\0--bind"})
    with pytest.raises(KagedError):
        await yard.sh("true", env={"LD=PRELOAD": "x"} | {"KAGED_HOME": "x"})


# --- T38, T39: folders that change, folders that the model chooses ---


@pytest.mark.parametrize("way", ["absolute", "relative", "parent"])
async def test_t38_a_folder_swapped_for_a_link_after_the_check_shows_nothing(
    client: KeeperClient, around: Path, way: str
) -> None:
    project = around / "project"
    (project / "data" / "inner").mkdir(parents=True)
    rules = [{"path": "project:/", "mode": "rw"}, {"path": "project:/data/inner", "mode": "ro"}]
    plan = compile_plan(CageSpec.model_validate({"fs": rules}), project, name="swap", environ={})
    control = Yard(client, around, plan, f"cage-{mark()}")
    await client.ensure_cage(control.id, plan)
    assert await control.sh("ls data") == "inner\n"
    await client.drop_cage(control.id)
    up = "../" * (len(project.parts) - 1)
    if way == "parent":
        (project / "data" / "inner").rmdir()
        (project / "data").rmdir()
        (project / "data").symlink_to(up + "etc")
    else:
        (project / "data" / "inner").rmdir()
        (project / "data" / "inner").symlink_to(("/" if way == "absolute" else "../" + up) + "etc")
    with pytest.raises(KagedError) as caught:
        await client.ensure_cage(control.id, plan)
    assert caught.value.code == "unavailable"
    assert control.id not in [cage.id for cage in (await client.state()).cages]


async def test_t38_a_link_made_inside_leads_nowhere(yard: Yard) -> None:
    (yard.project / "plain").write_text("control")
    assert await yard.sh("ln -s plain ok; cat ok") == "control"
    await yard.sh(f"ln -s {yard.around}/secret out; ln -s / root; ln -s /proc/1/root one")
    text = await yard.sh(f"cat out root{yard.around}/secret one{yard.around}/secret")
    assert "hunter2" not in text and "No such file" in text
    read = await yard.client.read_file(yard.id, f"{yard.project}/out", max_bytes=100)
    assert read.kind == "missing"


async def test_t39_a_chosen_folder_never_widens_the_cage(yard: Yard) -> None:
    assert await yard.sh("pwd", cwd=str(yard.project / ".git")) == f"{yard.project}/.git\n"
    for cwd in (str(yard.around / "other"), "/root", f"/proc/self/root{yard.around}/x"):
        with pytest.raises(KagedError):
            await yard.sh("pwd", cwd=cwd)
    assert "hunter2" not in await yard.sh("cat secret; ls", cwd=str(yard.around))
    # The project lies in /tmp here, and so does a folder of the same name in the cage's own /tmp.
    await yard.client.write_file(yard.id, f"{yard.around}/made", b"x", make_parents=True)
    assert not (yard.around / "made").exists()
    with pytest.raises(KagedError):
        await yard.client.write_file(yard.id, "/srv/made", b"x", make_parents=True)


# --- T40: protected files ---

PROTECTED = [
    ".kaged/project.yaml", ".kaged/new", ".git/hooks/pre-commit", ".git/config", ".git/commondir",
    ".git/config.worktree", ".git/info/attributes",
    ".gitmodules", ".envrc", ".vscode/tasks.json", ".idea/x",
]  # fmt: skip


@pytest.mark.parametrize("existing", [False, True], ids=["missing", "existing"])
async def test_t40_protected_files_stay_as_they_are(client: KeeperClient, around: Path, existing: bool) -> None:
    project = around / "project"
    subprocess.run(["git", "init", "-q", project], check=True)
    if existing:
        for name in PROTECTED:
            (project / name).parent.mkdir(parents=True, exist_ok=True)
            (project / name).write_text("[core]\n" if name == ".git/config" else "mine")
    before = contents(project)
    yard = await open_yard(client, around)
    for name in PROTECTED:
        top, deep = name.split("/")[0], "/" in name
        ways = [
            f"echo evil > {name}", f"echo evil >> {name}", f"rm -rf {name}", f"mkdir -p {name}/x",
            f"echo evil > t; mv -fT t {name}", f"ln -sfT /tmp {name}", f"mv {name} moved",
            f"ln {name} hard && echo evil > hard",
            f"mv {top} moved; rm -rf {top}; mkdir -p $(dirname {name}); echo evil > {name}",
            f"rename() {{ mv -T --exchange t {name}; }}; echo evil > t; rename", f"truncate -s 0 {name}",
            f"chmod 777 {name} && echo evil > {name}", f"dd if=/dev/zero of={name} count=1",
        ]  # fmt: skip
        for way in ways:
            await yard.sh(f"({way}) 2>/dev/null; rm -rf t hard")
        with pytest.raises(KagedError):
            await client.write_file(yard.id, f"{project}/{name}", b"evil", make_parents=deep)
    await yard.sh("git config core.fsmonitor evil; git config --global core.hooksPath /tmp")
    await yard.sh("rm -rf moved; echo control > made; echo control > .git/description")
    await client.drop_cage(yard.id)
    after = contents(project)
    assert (after.pop("made"), after.pop(".git/description")) == ("control\n", "control\n")
    # What is not protected may be gone; nothing is new, and nothing protected has changed.
    assert set(after) <= set(before)
    assert {n: after[n] for n in PROTECTED if n in after} == {n: before[n] for n in PROTECTED if n in before}


def contents(project: Path) -> dict[str, str]:
    """Every entry below a folder, with its text."""
    found = {}
    for path in sorted(project.rglob("*")):
        name = str(path.relative_to(project))
        found[name] = "folder" if path.is_dir() and not path.is_symlink() else path.read_text()
    return found


async def test_t40_no_repository_is_made_where_there_was_none(client: KeeperClient, around: Path) -> None:
    yard = await open_yard(client, around)
    assert "Read-only file system" in await yard.sh("git init 2>&1; mkdir .git/hooks 2>&1; rm -r .git 2>&1")
    assert "Initialized" in await yard.sh("git init sub 2>&1")
    await client.drop_cage(yard.id)
    assert sorted(path.name for path in (around / "project").iterdir()) == ["sub"]


async def test_t40_two_cages_protect_one_project_until_the_last_is_gone(client: KeeperClient, around: Path) -> None:
    first, second = await open_yard(client, around), await open_yard(client, around)
    await client.drop_cage(first.id)
    assert "Read-only" in await second.sh(
        "echo evil > .envrc/x 2>&1 || cat; rmdir .envrc; echo evil > .envrc", stdin=False
    )
    assert "Read-only" in await second.sh("mkdir .git/hooks 2>&1")
    await client.drop_cage(second.id)
    assert list((around / "project").iterdir()) == []


async def test_t40_a_cage_whose_protection_is_taken_away_outside_ends(yard: Yard) -> None:
    left = mark()
    await yard.client.run(yard.id, f"p-{left}", ["sleep", left])
    subprocess.run(["git", "-C", yard.project, "config", "user.name", "operator"], check=True)
    await until(lambda: not marked(left))
    with pytest.raises(KagedError):
        await yard.sh("echo evil > .git/config")
    assert "evil" not in (yard.project / ".git/config").read_text()
    again = compile_plan(CageSpec(), yard.project, name="again", environ={})
    await yard.client.ensure_cage(yard.id, again)
    assert "Read-only" in await yard.sh("echo evil > .git/config 2>&1")
