"""Toolchains that are lent: code only, read-only, and nothing that leads elsewhere."""

from pathlib import Path
from typing import Any, get_args

import pytest

from cage.harness import plan_for, sh
from kaged.cage import compile as compiler
from kaged.cage.plan import CagePlan
from kaged.cage.toolchains import PRESETS, lend
from kaged.core.errors import KagedError
from kaged.projects.cage_spec import CageSpec, Toolchain

FILES = {
    ".local/bin/tool": "#!/bin/sh\necho local tool\n",
    ".local/bin/uv": "#!/bin/sh\necho uv\n",
    ".local/share/uv/python/cpython-3.12/bin/python3.12": "",
    ".local/share/uv/credentials/credentials.toml": "secret",
    ".local/share/uv/tools/black/bin/black": "",
    ".local/share/uv/tools/black/uv-receipt.toml": "secret",
    ".local/share/pipx/venvs/tox/bin/tox": "",
    ".local/share/pipx/venvs/tox/pipx_metadata.json": "secret",
    ".pyenv/shims/python": "",
    ".pyenv/version": "3.12\n",
    ".pyenv/versions/3.12/bin/python": "",
    ".pyenv/versions/3.12/pip.conf": "secret",
    ".nvm/nvm.sh": "",
    ".nvm/versions/node/v9.0.0/bin/node": "#!/bin/sh\necho node 9\n",
    ".nvm/versions/node/v20.1.0/bin/node": "#!/bin/sh\necho node 20\n",
    ".nvm/versions/node/v20.1.0/etc/npmrc": "secret",
    ".local/share/fnm/node-versions/v22/installation/bin/node": "",
    ".volta/tools/image/node/22.0.0/bin/node": "",
    ".cargo/bin/cargo": "#!/bin/sh\necho cargo\n",
    ".cargo/credentials.toml": "secret",
    ".cargo/config.toml": "secret",
    ".rustup/toolchains/stable/bin/rustc": "",
    ".rustup/settings.toml": "",
    "go/bin/gopls": "",
    "go/pkg/mod/private/x.go": "secret",
    "sdk/go1.22/bin/go": "",
    ".sdkman/candidates/java/17.0.2/bin/java": "",
    ".sdkman/candidates/java/17.0.2/conf/security/java.policy": "",
    ".sdkman/candidates/maven/3.9/bin/mvn": "",
    ".sdkman/candidates/maven/3.9/conf/settings.xml": "secret",
    ".npmrc": "secret",
    ".netrc": "secret",
    ".ssh/id_ed25519": "secret",
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of an account with every toolchain, and with secrets beside them."""
    home = tmp_path / "home"
    for name, content in FILES.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(content)
        (home / name).chmod(0o755)
    (home / ".sdkman/candidates/java/current").symlink_to("17.0.2")
    (home / ".local/bin/black").symlink_to(home / ".local/share/uv/tools/black/bin/black")
    monkeypatch.setattr(compiler, "account_home", lambda: (home,))
    return home


def plan_of(tmp_path: Path, *names: str, **spec: Any) -> CagePlan:
    root = tmp_path / "project"
    root.mkdir(exist_ok=True)
    return plan_for(root, toolchains=list(names), **spec)


def test_every_name_has_a_preset() -> None:
    assert set(PRESETS) == set(get_args(Toolchain))
    with pytest.raises(ValueError, match="'local', 'uv', 'pyenv'"):
        CageSpec.model_validate({"toolchains": ["everything"]})


@pytest.mark.parametrize("name", get_args(Toolchain))
def test_a_preset_lends_code_and_no_secret(home: Path, name: Toolchain) -> None:
    lent = lend([name], home)
    covered = {content for file, content in FILES.items() for path in lent.shown if (home / file).is_relative_to(path)}
    assert covered and "secret" not in covered
    assert lent.path and all(
        any(Path(p).is_relative_to(s) or s.is_relative_to(p) for s in lent.shown) for p in lent.path
    )
    assert home not in lent.shown and all(path.is_relative_to(home) for path in lent.shown)


def test_the_newest_version_comes_first(home: Path) -> None:
    versions = home / ".nvm/versions/node"
    assert lend(["nvm"], home).path == (f"{versions}/v20.1.0/bin", f"{versions}/v9.0.0/bin")
    assert lend(["sdkman"], home).path == (f"{home}/.sdkman/candidates/java/17.0.2/bin",)
    assert lend(["nvm"], home).env == (("NVM_DIR", f"{home}/.nvm"),)


def test_what_is_lent_already_is_not_lent_again(home: Path) -> None:
    both = lend(["local", "uv"], home)
    assert home / ".local/bin" in both.shown and home / ".local/bin/uv" not in both.shown
    assert both.path == (f"{home}/.local/bin",)


def test_nothing_there_is_nothing_lent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiler, "account_home", lambda: (tmp_path / "none",))
    plan = plan_of(tmp_path, "uv", "nvm")
    assert plan.lent == () and "borrows toolchains of your home (uv, nvm): none was found" in plan.explain()
    monkeypatch.setattr(compiler, "account_home", lambda: ())
    assert plan_of(tmp_path, "uv").lent == ()


@pytest.mark.parametrize("link", [".cargo/bin", ".rustup/toolchains", ".nvm/versions/node/v9.0.0/lib"])
def test_a_link_that_leads_elsewhere_is_refused(home: Path, tmp_path: Path, link: str) -> None:
    at = home / link
    if at.exists():
        at.rename(tmp_path / "moved")
    at.symlink_to(home / ".ssh")
    with pytest.raises(KagedError, match=r"is a link to .*\.ssh; put the real one there") as caught:
        plan_of(tmp_path, "nvm", "rustup")
    assert caught.value.details == {"key": "cage.toolchains"}


def test_a_toolchain_that_is_kageds_own_folder_is_refused(home: Path, tmp_path: Path) -> None:
    root = tmp_path / "project"
    root.mkdir()
    spec = CageSpec.model_validate({"toolchains": ["go"]})
    with pytest.raises(KagedError, match="not allowed in a cage"):
        compiler.compile_plan(spec, root, name="x", never=[home / "go" / "bin" / "x"], environ={})


@pytest.mark.cage
def test_a_cage_runs_what_it_borrowed_and_changes_nothing(home: Path, tmp_path: Path) -> None:
    plan = plan_of(tmp_path, "local", "nvm", "rustup")
    done = sh(plan, "tool; node; cargo; command -v black; cat $NVM_DIR/nvm.sh")
    assert done.stdout == f"local tool\nnode 20\ncargo\n{home}/.local/bin/black\n"
    wrong = sh(plan, f"cd {home} && ls -A . .cargo .rustup .nvm/versions/node/v20.1.0; touch .cargo/bin/x .nvm/nvm.sh")
    assert not {"credentials.toml", "config.toml", ".ssh", ".netrc", "etc", "go"} & set(wrong.stdout.split())
    assert wrong.stderr.count("Read-only file system") == 2


def test_go_lends_no_neighbour(tmp_path: Path) -> None:
    for name in ("go1.22", "google-cloud-sdk"):
        (tmp_path / "sdk" / name / "bin").mkdir(parents=True)
    assert [Path(path).name for path in lend(["go"], tmp_path).shown] == ["go1.22"]
