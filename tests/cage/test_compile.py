"""From policy to plan: every policy that cannot be carried out exactly is refused by name."""

import os
import socket
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cage.harness import plan_for
from cage.harness import sh as run_sh
from kaged.cage.compile import compile_plan
from kaged.cage.host import host_facts
from kaged.cage.plan import KEPT, PLACEHOLDER_MODE, CagePlan, Mount
from kaged.core.errors import KagedError
from kaged.projects.cage_spec import PROTECTED, CageSpec


@pytest.fixture
def root(tmp_path: Path) -> Path:
    place = tmp_path / "project"
    place.mkdir()
    return place


@pytest.fixture
def repo(root: Path) -> Path:
    subprocess.run(["git", "init", "-q", root], check=True)
    return root


def by_path(plan: CagePlan) -> dict[str, Mount]:
    return {str(Path(mount.path).relative_to(plan.root)): mount for mount in plan.mounts}


def fs(*rules: tuple[str, str]) -> list[dict[str, str]]:
    return [{"path": path, "mode": mode} for path, mode in rules]


def refused(root: Path, key: str, match: str, **spec: Any) -> None:
    with pytest.raises(KagedError, match=match) as caught:
        plan_for(root, **spec)
    assert caught.value.code == "dsl_invalid"
    assert caught.value.details == {"key": key}
    assert caught.value.message.split(":")[0] == key


def test_the_default_policy_is_the_project_alone(repo: Path) -> None:
    plan = plan_for(repo)
    mounts = by_path(plan)
    assert mounts["."] == Mount("rw", str(repo))
    assert {name for name, mount in mounts.items() if mount.kind == "ro"} == {".git/hooks", ".git/config"}
    assert {name for name, mount in mounts.items() if mount.placeholder} == {
        ".kaged", ".git/info/attributes", ".git/commondir", ".git/config.worktree", ".gitmodules", ".envrc",
        ".vscode", ".idea",
    }  # fmt: skip
    assert {name for name, mount in mounts.items() if mount.kind == "pin"} == {".git", ".git/info"}
    assert plan.workdir == plan.root == str(repo)
    assert plan.limits.memory_bytes == 2 * 1024**3 and plan.limits.pids == 512
    assert dict(plan.env)["HOME"] == "/home/agent" and "KAGED_HOME" not in dict(plan.env)


def test_compiling_changes_nothing_on_disk(repo: Path) -> None:
    def listing() -> list[tuple[str, int]]:
        return [(str(p), p.lstat().st_mtime_ns) for p in sorted(repo.rglob("*"))]

    before = listing()
    plan_for(repo, fs=fs(("project:/", "rw"), ("project:/later", "hidden")))
    assert listing() == before


def test_a_folder_comes_before_what_is_in_it(repo: Path) -> None:
    paths = [Path(mount.path) for mount in plan_for(repo).mounts]
    for index, path in enumerate(paths):
        assert not any(later in path.parents for later in paths[index + 1 :])


def test_without_a_repository_none_can_be_made(root: Path) -> None:
    mounts = by_path(plan_for(root))
    assert mounts[".git"] == Mount("hide-dir", str(root / ".git"), placeholder=True)
    assert not any(name.split("/")[0] == ".git" and name != ".git" for name in mounts)


def test_a_worktree_keeps_its_link_to_the_repository(root: Path) -> None:
    (root / ".git").write_text("gitdir: /elsewhere\n")
    assert by_path(plan_for(root))[".git"] == Mount("ro", str(root / ".git"))


def test_protection_can_be_changed_but_not_for_the_policy(root: Path) -> None:
    (root / "infra").mkdir()
    plan = plan_for(root, protect={"add": ["infra/**", "Makefile"], "remove": [".envrc", ".vscode/**"]})
    mounts = by_path(plan)
    assert mounts["infra"].kind == "ro" and not mounts["infra"].placeholder
    assert mounts["Makefile"] == Mount("hide-dir", str(root / "Makefile"), placeholder=True)
    assert ".envrc" not in mounts and ".vscode" not in mounts and ".kaged" in mounts
    with pytest.raises(ValueError, match="always stays protected"):
        CageSpec.model_validate({"protect": {"remove": [".kaged/**"]}})


def test_nothing_needs_protection_where_nothing_can_be_written(repo: Path) -> None:
    (repo / "out").mkdir()
    plan = plan_for(repo, fs=fs(("project:/", "ro"), ("project:/out", "rw")))
    assert [(m.kind, Path(m.path).name) for m in plan.mounts] == [("ro", "project"), ("rw", "out")]
    assert plan.placeholders == ()


def test_hidden_files_and_folders_are_covered(root: Path) -> None:
    (root / "secrets").mkdir()
    (root / "conf").mkdir()
    (root / "conf" / "key.pem").write_text("x")
    plan = plan_for(
        root,
        fs=fs(
            ("project:/", "rw"),
            ("project:/secrets", "hidden"),
            ("project:/conf/key.pem", "hidden"),
            ("project:/.env", "hidden"),
        ),
    )
    mounts = by_path(plan)
    assert mounts["secrets"].kind == "hide-dir"
    assert mounts["conf/key.pem"].kind == "hide-file"
    assert mounts["conf"].kind == "pin"
    assert mounts[".env"] == Mount("hide-dir", str(root / ".env"), placeholder=True)


def test_a_placeholder_left_by_a_crash_is_one_again(root: Path) -> None:
    plan = plan_for(root)
    for path in map(Path, plan.placeholders):
        path.mkdir()
        path.chmod(PLACEHOLDER_MODE)
    again = plan_for(root)
    assert again.placeholders == plan.placeholders and again.hash() == plan.hash()
    (root / ".envrc").rmdir()
    (root / ".envrc").write_text("use nix")
    (root / ".vscode" / "settings.json").write_text("{}")
    later = plan_for(root)
    assert str(root / ".envrc") not in later.placeholders and str(root / ".vscode") not in later.placeholders
    assert later.hash() == plan.hash()


def test_an_empty_folder_of_the_operator_is_no_placeholder(root: Path) -> None:
    (root / ".vscode").mkdir()
    plan = plan_for(root)
    assert str(root / ".vscode") not in plan.placeholders
    assert by_path(plan)[".vscode"].kind == "ro"


@pytest.mark.parametrize("name", [".envrc", ".git", ".vscode", ".kaged"])
def test_t38_a_protected_symbolic_link_is_refused(root: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "target").mkdir()
    (root / name).symlink_to(tmp_path / "target")
    refused(root, "cage.protect", "is a symbolic link")


@pytest.mark.parametrize("mode", ["rw", "ro", "hidden"])
def test_t38_a_rule_through_a_symbolic_link_is_refused(root: Path, tmp_path: Path, mode: str) -> None:
    (root / "out").symlink_to("/etc")
    base = "project:/"
    other = "rw" if mode != "rw" else "ro"
    refused(root, "cage.fs[1].path", "is a symbolic link", fs=fs((base, other), ("project:/out/ssl", mode)))
    (root / "inner").symlink_to(root)
    refused(root, "cage.fs[1].path", "is a symbolic link", fs=fs((base, other), ("project:/inner", mode)))


def test_sockets_and_devices_are_refused(root: Path, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s.sock"))
    refused(root, "cage.fs[1].path", "is a socket", fs=fs(("project:/", "rw"), (f"{tmp_path}/s.sock", "ro")))
    os.mkfifo(root / ".envrc")
    refused(root, "cage.protect", "is a socket, pipe or device")


def test_extra_paths_are_read_only_real_and_outside(root: Path, tmp_path: Path) -> None:
    tools = tmp_path / "toolchain"
    tools.mkdir()
    (tmp_path / "other").mkdir()
    plan = plan_for(root, fs=fs(("project:/", "rw"), (str(tools), "ro")))
    assert Mount("ro", str(tools)) in plan.mounts
    (tmp_path / "alias").symlink_to(tools)
    for path, mode, match in [
        (str(tools), "rw", "can only be `ro`"),
        (str(tmp_path / "alias"), "ro", f"symbolic link; write {tools}"),
        (str(tmp_path / "missing"), "ro", "cannot be opened: No such file"),
        (str(tmp_path), "ro", "holds the project itself"),
        ("/", "ro", "holds the project itself"),
        ("/run", "ro", "not allowed in a cage"),
        ("/var", "ro", "not allowed in a cage"),
        ("/proc/1/root", "ro", "not allowed in a cage"),
        ("/etc/shadow", "ro", "not allowed in a cage"),
        ("/usr/bin", "ro", "is there already"),
        ("/home", "ro", "is or holds"),
        (str(tmp_path / "other"), "hidden", "needs no hiding"),
    ]:
        refused(root, "cage.fs[1].path", match, fs=fs(("project:/", "rw"), (path, mode)))


def test_overlapping_rules_are_refused(root: Path) -> None:
    (root / "a" / "b").mkdir(parents=True)
    base = ("project:/", "rw")
    refused(root, "cage.fs[1].path", "named twice", fs=fs(base, (str(root), "ro")))
    refused(root, "cage.fs[1].path", "is rw already", fs=fs(base, ("project:/a", "rw")))
    refused(root, "cage.fs[2].path", "which is hidden", fs=fs(base, ("project:/a", "hidden"), ("project:/a/b", "ro")))
    refused(root, "cage.fs[1].path", "does not exist", fs=fs(("project:/", "ro"), ("project:/c", "rw")))
    refused(root, "cage.fs[1].path", "does not exist", fs=fs(base, ("project:/c/d", "hidden")))
    refused(root, "cage.fs[1].path", "does not exist", fs=fs(("project:/", "ro"), ("project:/c", "hidden")))
    (root / ".vscode").mkdir()
    refused(root, "cage.protect", "a rule makes", fs=fs(("project:/", "ro"), ("project:/.vscode", "rw")))


def test_a_rule_and_its_opposite_may_nest(root: Path) -> None:
    (root / "a" / "b").mkdir(parents=True)
    plan = plan_for(root, fs=fs(("project:/", "rw"), ("project:/a", "ro"), ("project:/a/b", "rw")))
    assert [m.kind for m in plan.mounts if "/a" in m.path] == ["ro", "rw"]


@pytest.mark.parametrize(
    "place", ["/", "/usr", "/etc", "/proc", "/dev", "/home", "/tmp", "/sys/kernel", "/etc/ssl", "/proc/1"]
)
def test_the_system_is_no_project(place: str) -> None:
    with pytest.raises(KagedError, match="cannot be a project"):
        plan_for(Path(place))


def test_a_project_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KagedError, match="cannot be opened"):
        plan_for(tmp_path / "missing")
    (tmp_path / "file").write_text("")
    with pytest.raises(KagedError, match="not a folder"):
        plan_for(tmp_path / "file")


def test_the_daemons_own_folders_stay_out(root: Path, tmp_path: Path) -> None:
    secret = tmp_path / "daemon" / "runtime"
    secret.mkdir(parents=True)

    def compile_with(project: Path, *extra: str) -> CagePlan:
        rules = fs(("project:/", "rw"), *((path, "ro") for path in extra))
        spec = CageSpec.model_validate({"fs": rules})
        return compile_plan(spec, project, name="x", never=[secret], environ={})

    assert compile_with(root).root == str(root)
    for path in (secret, secret.parent):
        with pytest.raises(KagedError, match="not allowed in a cage"):
            compile_with(root, str(path))
        with pytest.raises(KagedError, match="cannot be a project"):
            compile_with(path)


def test_the_root_is_resolved(root: Path, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(root)
    assert plan_for(tmp_path / "alias").root == str(root)


def test_environment(root: Path) -> None:
    spec = CageSpec.model_validate({"env": {"pass": ["LC_ALL", "MISSING"], "set": {"CI": "1", "PATH": "/x"}}})
    environ = {"LC_ALL": "C", "SECRET_THING": "hunter2", "KAGED_HOME": "/x"}
    env = dict(compile_plan(spec, root, name="x", environ=environ).env)
    assert env["LC_ALL"] == "C" and env["CI"] == "1" and env["PATH"] == "/x"
    assert not {"SECRET_THING", "KAGED_HOME", "MISSING"} & set(env)


def test_the_agents_own_programs_come_first(root: Path) -> None:
    path = dict(plan_for(root).env)["PATH"].split(":")
    assert path[0] == "/home/agent/.local/bin" and "/usr/bin" in path


@pytest.mark.cage
@pytest.mark.parametrize("home", ["session", "project"])
def test_a_home_that_is_kept_lies_in_its_folder(root: Path, tmp_path: Path, home: str) -> None:
    kept = tmp_path / "kept"
    kept.mkdir(mode=0o700)
    spec = CageSpec.model_validate({"home": home})
    plan = compile_plan(spec, root, name="x", environ={}, home_dir=kept)
    assert plan.to_wire()["home"] == str(kept)
    first = run_sh(
        plan,
        "mkdir -p ~/.local/bin; printf '#!/bin/sh\\necho mine\\n' > ~/.local/bin/tool;"
        "chmod +x ~/.local/bin/tool; git config --global user.name me; echo x > /tmp/y",
    )
    assert first.stderr == "" and (kept / ".local/bin/tool").exists()
    again = run_sh(plan, "tool; git config user.name; git config safe.directory; cat /tmp/y")
    assert again.stdout == "mine\nme\n*\n"


def test_a_home_that_others_can_look_into_is_refused(root: Path, tmp_path: Path) -> None:
    spec = CageSpec.model_validate({"home": "session"})
    (tmp_path / "open").mkdir(mode=0o755)
    (tmp_path / "file").write_text("")
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to("real")
    for name in ("open", "file", "link", "missing"):
        with pytest.raises(KagedError, match=r"mode 0700|cannot be looked at") as caught:
            compile_plan(spec, root, name="x", environ={}, home_dir=tmp_path / name)
        assert caught.value.code == "unavailable"
    for home_dir in (None, tmp_path / "open"):
        assert compile_plan(CageSpec(), root, name="x", environ={}, home_dir=home_dir).home_dir is None


def test_limits(root: Path) -> None:
    limits = plan_for(root, limits={"cpu": 1.5, "disk": "1GiB", "nofile": 128, "memory": None}).to_wire()["limits"]
    assert limits == {
        "memory_bytes": None, "pids": 512, "nofile": 128, "fsize_bytes": 4 * 1024**3, "walltime_s": 1800.0,
        "cpu": 1.5, "disk_bytes": 1024**3,
    }  # fmt: skip


def test_a_python_of_the_daemons_own_is_bound_and_on_the_path(root: Path) -> None:
    host = replace(host_facts(), python="/opt/py/bin/python3.12", python_prefix="/opt/py")
    plan = compile_plan(CageSpec(), root, name="x", environ={}, host=host)
    wire = plan.to_wire()
    at = wire["args"].index("/opt/py")
    assert wire["args"][at - 1 : at + 2] == ["--ro-bind", "/opt/py", "/opt/py"]
    assert "/opt/py/bin" in dict(plan.env)["PATH"].split(":")
    assert wire["init"][0] == "/opt/py/bin/python3.12"


def test_a_python_inside_the_project_stays_read_only(root: Path) -> None:
    prefix = root / "tools" / "python"
    prefix.mkdir(parents=True)
    host = replace(host_facts(), python=f"{prefix}/bin/python3.12", python_prefix=str(prefix))
    plan = compile_plan(CageSpec(), root, name="x", environ={}, host=host)
    mounts = by_path(plan)
    assert mounts["tools/python"].kind == "ro" and mounts["tools"].kind == "pin"


def test_the_hash_says_what_is_allowed(root: Path) -> None:
    base = plan_for(root)
    assert base.hash() == plan_for(root).hash() == replace(base, name="other").hash()
    (root / "x").mkdir()
    others = [
        plan_for(root, fs=fs(("project:/", "ro"))),
        plan_for(root, fs=fs(("project:/", "rw"), ("project:/x", "ro"))),
        plan_for(root, protect={"add": ["x/**"]}),
        plan_for(root, seccomp="relaxed"),
        plan_for(root, limits={"memory": "1GiB"}),
        plan_for(root, limits={"pids": 100}),
        plan_for(root, limits={"walltime": 60}),
        plan_for(root, env={"set": {"CI": "1"}}),
        plan_for(root / "x"),
    ]
    assert len({base.hash(), *(plan.hash() for plan in others)}) == len(others) + 1


NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=8)


@given(st.lists(NAMES, max_size=4), st.sampled_from(["rw", "ro", "hidden"]))
def test_t37_no_path_becomes_an_option_or_leaves_the_project(parts: list[str], mode: str) -> None:
    root = Path("/var/lib")
    try:
        plan = plan_for(root, fs=fs(("project:/" + "/".join(parts), mode)))
    except (KagedError, ValueError):
        return
    args = plan.to_wire()["args"]
    for mount in plan.mounts:
        assert Path(os.path.normpath(mount.path)) == Path(mount.path)
        assert Path(mount.path) == root or root in Path(mount.path).parents
    assert args[:2] == ["--unshare-user", "--unshare-pid"]


def test_every_default_is_compiled(root: Path) -> None:
    assert plan_for(root).protect == PROTECTED


def test_placeholders_do_not_disturb_git(repo: Path, tmp_path: Path) -> None:
    def git(*argv: str) -> str:
        done = subprocess.run(["git", "-C", *argv], capture_output=True, text=True, check=True)
        return done.stdout + done.stderr

    for path in map(Path, plan_for(repo).placeholders):
        path.write_bytes(KEPT[path.name]) if path.name in KEPT else path.mkdir()
    assert git(str(repo), "status", "--porcelain") == ""
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    inner = tmp_path / "inner"
    (inner / ".git").mkdir(parents=True)
    (inner / "file").write_text("x")
    git(str(tmp_path), "add", "inner")
    assert git(str(inner), "status", "--porcelain") == "A  inner/file\n?? project/\n"
