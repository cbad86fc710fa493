"""Which folders may be projects: resolved, itself, above, inside, owned."""

import os
import pwd
from pathlib import Path

import pytest

from kaged.core.errors import KagedError
from kaged.projects.roots import RootRules
from kaged.settings.config import Flags, Loaded, load


def loaded(base: Path, *, text: str = "", mode: str = "user") -> Loaded:
    (base / "config").mkdir(exist_ok=True)
    file = base / "config" / "config.toml"
    file.write_text(text)
    environ = {"HOME": str(base), "KAGED_HOME": str(base / "home"), "XDG_RUNTIME_DIR": str(base / "rt")}
    return load(flags=Flags(config=file, mode=mode), environ=environ, root=base)


@pytest.fixture
def base(short_tmp: Path) -> Path:
    for name in ("home/projects/mine/sub", "home/other", "home/run", "rt/kaged/x", "work/app", "config/sub"):
        (short_tmp / name).mkdir(parents=True)
    return short_tmp


def refused(rules: RootRules, path: Path | str) -> KagedError:
    with pytest.raises(KagedError) as caught:
        rules.check(Path(path))
    return caught.value


def test_an_ordinary_folder_is_allowed_and_resolved(base: Path) -> None:
    (base / "link").symlink_to(base / "work")
    rules = RootRules(loaded(base))
    assert rules.check(base / "work" / "app") == base / "work" / "app"
    assert rules.check(base / "link" / "app") == base / "work" / "app"
    assert rules.check(base / "home" / "projects" / "mine") == base / "home" / "projects" / "mine"


@pytest.mark.parametrize(
    "name",
    ["", "home", "home/projects", "home/projects/mine/sub", "home/other", "rt", "rt/kaged", "rt/kaged/x", "config"],
)
def test_kageds_own_folders_and_what_holds_them_are_refused(base: Path, name: str) -> None:
    error = refused(RootRules(loaded(base)), base / name)
    assert error.code == "forbidden"
    assert "which no agent may reach" in error.message


@pytest.mark.parametrize("path", ["/", "/proc", "/proc/1", "/sys", "/dev", "/dev/shm", "/run", "/run/lock", "/.."])
def test_the_kernels_folders_are_refused(base: Path, path: str) -> None:
    assert refused(RootRules(loaded(base)), path).code == "forbidden"


def test_the_accounts_home_is_refused(base: Path) -> None:
    home = Path(pwd.getpwuid(os.geteuid()).pw_dir)
    assert refused(RootRules(loaded(base)), home).code == "forbidden"


def test_a_home_that_only_the_environment_names_is_refused(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = base / "somewhere"
    (home / "app").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    rules = RootRules(loaded(base))
    assert refused(rules, home).code == "forbidden"
    assert rules.check(home / "app") == (home / "app").resolve()


def test_a_link_does_not_hide_a_forbidden_folder(base: Path) -> None:
    (base / "work" / "link").symlink_to(base / "home")
    (base / "linked-home").symlink_to(base / "home")
    assert refused(RootRules(loaded(base)), base / "work" / "link").code == "forbidden"
    text = f'[logging]\naudit = "file:{base}/work/app/logs/audit.log"\n'
    error = refused(RootRules(loaded(base, text=text)), base / "work")
    assert f"{base}/work contains {base}/work/app/logs/audit.log" in error.message


def test_names_that_are_no_folders(base: Path) -> None:
    rules = RootRules(loaded(base))
    (base / "work" / "file").write_text("")
    (base / "work" / "loop").symlink_to("loop")
    assert "not an absolute path" in refused(rules, "work/app").message
    assert refused(rules, base / "work" / "none").code == "not_found"
    assert "is a file" in refused(rules, base / "work" / "file").message
    assert refused(rules, base / "work" / "loop").code == "not_found"


def test_system_mode_has_roots(base: Path) -> None:
    rules = RootRules(loaded(base, mode="system"))
    assert rules.check(base / "home/projects/mine") == base / "home/projects/mine"
    assert "outside of the folders for projects" in refused(rules, base / "work" / "app").message
    rules = RootRules(loaded(base, mode="system", text=f'[projects]\nroots = ["{base}/work"]\n'))
    assert rules.check(base / "work" / "app") == base / "work" / "app"
    assert refused(rules, base / "work").code == "forbidden"
    (base / "workshop").mkdir()
    assert refused(rules, base / "workshop").code == "forbidden"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_somebody_elses_folder_is_refused_naming_both(base: Path) -> None:
    os.chown(base / "work" / "app", 65534, -1)
    message = refused(RootRules(loaded(base)), base / "work" / "app").message
    assert "belongs to nobody (uid 65534)" in message
    assert f"kaged runs as {pwd.getpwuid(0).pw_name} (uid 0)" in message
    os.chown(base / "work" / "app", 12345, -1)
    assert "belongs to uid 12345," in refused(RootRules(loaded(base)), base / "work" / "app").message
