"""Toolchains of the account's home that a cage may borrow, read-only, without settings that hold credentials."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from kaged.cage.advice import refuse
from kaged.projects.cage_spec import Toolchain

PRESETS: Mapping[Toolchain, tuple[str, str, Mapping[str, str]]] = {  # what is lent, what of it for PATH, variables
    # What pipx and `uv tool` installed: links in .local/bin to environments with an interpreter.
    "local": (".local/bin .local/share/uv/python .local/share/uv/tools/*/{bin,lib,pyvenv.cfg} "
              ".local/share/pipx/venvs/*/{bin,lib,pyvenv.cfg}", ".local/bin", {}),
    # uv and the Pythons it manages; its credentials lie beside them.
    "uv": (".local/bin/{uv,uvx} .local/share/uv/python", ".local/bin",
           {"UV_PYTHON_INSTALL_DIR": ".local/share/uv/python"}),
    # The shims find the Pythons through the version file.
    "pyenv": (".pyenv/{bin,libexec,shims,version} .pyenv/versions/*/{bin,lib,include}", ".pyenv/{shims,bin}",
              {"PYENV_ROOT": ".pyenv"}),
    # `etc/npmrc` of a version can hold tokens.
    "nvm": (".nvm/{nvm.sh,nvm-exec,alias} .nvm/versions/node/*/{bin,lib,include}", ".nvm/versions/node/*/bin",
            {"NVM_DIR": ".nvm"}),
    "fnm": (".local/share/fnm/node-versions/*/installation/{bin,lib,include}",
            ".local/share/fnm/node-versions/*/installation/bin", {}),
    # Straight from the images: Volta's own shims want to write.
    "volta": (".volta/tools/image/*/*/{bin,lib,include,dist}", ".volta/tools/image/*/*/bin", {}),
    # cargo's home (registry, credentials) stays the agent's own; rustup insists on `update-hashes`.
    "rustup": (".cargo/bin .rustup/{toolchains,settings.toml,update-hashes}", ".cargo/bin", {"RUSTUP_HOME": ".rustup"}),
    # GOPATH stays the agent's own.
    "go": ("sdk/go[0-9]* sdk/gotip go/bin", "sdk/go[0-9]*/bin sdk/gotip/bin go/bin", {}),
    # `conf` of Maven can hold passwords, that of Java does not.
    "sdkman": (".sdkman/candidates/*/*/{bin,lib,boot} .sdkman/candidates/java/*/{conf,jmods,release}",
               ".sdkman/candidates/*/current/bin", {}),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Lent:
    """What was found of some presets: real paths to show, folders for PATH, variables."""

    shown: tuple[Path, ...] = ()
    path: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()


def lend(names: Iterable[Toolchain], home: Path) -> Lent:
    """Look below `home` (blocking). Raises `KagedError("dsl_invalid")` for a link that leads elsewhere."""
    home = home.resolve()
    found, path, env = set[Path](), list[str](), list[tuple[str, str]]()
    for lent, on_path, variables in (PRESETS[name] for name in names):
        found |= set(_find(home, lent))
        path += map(str, _find(home, on_path))
        env += ((name, str(at)) for name, place in variables.items() for at in _find(home, place))
    shown = sorted(path for path in found if found.isdisjoint(path.parents))
    return Lent(tuple(shown), tuple(dict.fromkeys(path)), tuple(env))


def _find(home: Path, patterns: str) -> Iterator[Path]:
    """Real paths that exist, the newest version first."""
    for pattern in patterns.split():
        start, _, rest = pattern.partition("{")
        for name in rest.rstrip("}").split(","):
            fixed, star, _ = (start + name).partition("*")
            for path in sorted(home.glob(start + name), key=_version, reverse=True):
                real = path.resolve()
                if not real.is_relative_to(home / (fixed.rpartition("/")[0] if star else fixed)):
                    raise refuse("cage.toolchains", f"{path} is a link to {real}; put the real one there")
                if real.exists():
                    yield real


def _version(path: Path) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"([0-9]+)", str(path))]
