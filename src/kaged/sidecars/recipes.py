"""The set-ups that kaged has files for, and the files: templates with values put in."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from kaged.sidecars.values import DERIVED, FIELDS, HEADERS, derived

_TEMPLATES = Path(__file__).parent / "templates"
_PART = re.compile(r"<<file ([\w./-]+)>>\n")
_SLOT = re.compile(r"<<(\w+)>>")
_FRESH = re.compile(r"(secret|base64)_\w+")  # Slots for a secret of its own: URL-safe text, or base64 with padding
_NOT_WRITTEN = "Containerfile"  # Belongs to the checkout that it builds from


@dataclass(frozen=True, slots=True)
class Recipe:
    """A set-up: the folder of its templates, the sub-folder that is its own (or None), and its provider's block."""

    folder: str
    only: str | None = None
    provider: str = "oidc"


RECIPES: Mapping[str, Mapping[str, Recipe]] = {
    "oauth2-proxy": {
        name: Recipe("cloudflare-oauth2-proxy", provider=name) for name in ("oidc", "google", "github", "keycloak")
    },
    "pomerium": {"oidc": Recipe("pomerium")},
    "authelia": {"nginx": Recipe("authelia", "nginx"), "caddy": Recipe("authelia", "caddy")},
    "traefik": {name: Recipe("traefik", name) for name in ("oauth2-proxy", "traefik-forward-auth")},
    "caddy": {"oauth2-proxy": Recipe("caddy")},
    "nginx": {"oauth2-proxy": Recipe("nginx")},
    "apache": {"oidc": Recipe("apache")},
    "tailscale": {"serve": Recipe("tailscale-serve"), "funnel": Recipe("tailscale-funnel", provider="tsidp")},
}
"""Each sidecar's variants; the first is the default."""

_OWN = {recipe.only for variants in RECIPES.values() for recipe in variants.values()} - {None}


@dataclass(frozen=True, slots=True)
class File:
    """One file to write. `secret`: only its owner may read it."""

    path: PurePosixPath
    text: str
    secret: bool = False


def needs(recipe: Recipe) -> list[str]:
    """The values that the files of `recipe` take, in the order of the table."""
    slots = {slot for text in _templates(recipe).values() for slot in _SLOT.findall(text)}
    slots |= {source for slot in slots for source in DERIVED.get(slot, ())}
    return [name for name in FIELDS if name in slots]


def render(recipe: Recipe, values: Mapping[str, str], fresh: Callable[[str], str]) -> list[File]:
    """The files, with checked `values` and `fresh` secrets for slots. ValueError when values do not go together."""
    filled = {**HEADERS, **values, **derived(values)}
    return [File(path, _fill(text, filled, fresh), _secret(text)) for path, text in _templates(recipe).items()]


def examples(**other: str) -> list[File]:
    """`examples/deployment`: every template and variant, with the example values or `other` ones."""
    values = {name: field.example for name, field in FIELDS.items()} | other
    filled = {**HEADERS, **values, **derived(values)}
    first = {recipe.folder: recipe for variants in RECIPES.values() for recipe in reversed([*variants.values()])}
    found = []
    for file in _files(_TEMPLATES):
        path = PurePosixPath(file.relative_to(_TEMPLATES).as_posix())
        text = _fill(_read(file, first.get(path.parts[0], Recipe("")).provider), filled, lambda _: "REPLACE_ME")
        if path.parts[0] == "providers":
            path = PurePosixPath("cloudflare-oauth2-proxy", path)
        if path.parts[0] != "shared":
            found.append(File(path, text))
    return found


def commands(files: list[File]) -> list[str]:
    """The commands that put the files to use: the first block for a shell in their README."""
    readme = next(file.text for file in files if file.path.name == "README.md")
    return readme.partition("```sh\n")[2].partition("```")[0].splitlines()


def _templates(recipe: Recipe) -> dict[PurePosixPath, str]:
    found: dict[PurePosixPath, str] = {}
    for file in _files(_TEMPLATES / recipe.folder):
        path = PurePosixPath(file.relative_to(_TEMPLATES / recipe.folder).as_posix())
        if path.parts[0] == recipe.only:
            found[path.relative_to(recipe.only)] = _read(file, recipe.provider)
        elif path.name != _NOT_WRITTEN and path.parts[0] not in _OWN:
            found.setdefault(path, _read(file, recipe.provider))
    return found


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file())


def _read(file: Path, provider: str) -> str:
    """A template with the parts that it shares with others in their places."""
    text = file.read_text(encoding="utf-8").replace("<<name_claim>>", "user" if provider == "github" else "name")
    return _PART.sub(lambda part: _read(_TEMPLATES / part[1].replace("PROVIDER", provider), provider), text)


def _fill(text: str, values: Mapping[str, str], fresh: Callable[[str], str]) -> str:
    return _SLOT.sub(lambda slot: fresh(slot[1]) if _FRESH.fullmatch(slot[1]) else values[slot[1]], text)


def _secret(text: str) -> bool:
    return any(_FRESH.fullmatch(slot) or (slot in FIELDS and FIELDS[slot].secret) for slot in _SLOT.findall(text))
