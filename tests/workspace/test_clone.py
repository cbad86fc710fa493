"""Cloning with real git in a real cage, from a server on this machine."""

import asyncio
import http.server
import json
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from kaged.core.errors import KagedError
from kaged.workspace.clone import STAGING
from workspace.house import ADMIN, HOST, House, ended, nothing_left

pytestmark = pytest.mark.cage


def git(folder: Path, *arguments: str) -> None:
    own = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "protocol.file.allow=always"]
    subprocess.run(["git", *own, *arguments], cwd=folder, check=True, capture_output=True)


@dataclass
class Origin:
    """A server of repositories. While `gate` is clear, packed objects are held back."""

    folder: Path
    port: int = 0
    gate: threading.Event = field(default_factory=threading.Event)
    reached: threading.Event = field(default_factory=threading.Event)
    asked: list[str] = field(default_factory=list)

    def url(self, name: str = "bakery.git") -> str:
        return f"http://{HOST}:{self.port}/{name}"

    def publish(self, name: str, files: dict[str, str]) -> None:
        work = self.folder / f"{name}.work"
        work.mkdir()
        git(work, "init", "-q", "-b", "main")
        for path, text in files.items():
            (work / path).parent.mkdir(parents=True, exist_ok=True)
            (work / path).write_text(text, encoding="utf-8")
        git(work, "add", "-Af")
        git(work, "commit", "-qm", "all")
        git(self.folder, "clone", "-q", "--bare", str(work), f"{name}.git")
        git(self.folder / f"{name}.git", "update-server-info")


class Handler(http.server.SimpleHTTPRequestHandler):
    def __init__(self, origin: Origin, *arguments: Any) -> None:
        self.origin = origin
        super().__init__(*arguments, directory=str(origin.folder))

    def do_GET(self) -> None:
        self.origin.asked.append(self.path)
        if "/objects/" in self.path and "/info/" not in self.path:
            self.origin.reached.set()
            self.origin.gate.wait(60)
        super().do_GET()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def origin(tmp_path: Path) -> Iterator[Origin]:
    it = Origin(tmp_path / "origin")
    it.folder.mkdir()
    it.gate.set()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, it)) as server:
        it.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield it
        it.gate.set()
        server.shutdown()
        thread.join()


async def test_a_clone_becomes_an_untrusted_project(house: House, origin: Origin) -> None:
    origin.publish("bakery", {"README.md": "bread\n", "src/oven.py": "hot = True\n"})
    async with house.clones() as clones:
        clone = await ended(await clones.start(origin.url(), None, ADMIN))
        assert (clone.state, clone.project, clone.problem) == ("done", "bakery", None)
        assert clones.get(clone.id) is clone
    project = await house.projects.get("bakery")
    assert (project.path, project.trust) == (house.root / "bakery", "untrusted")
    assert (project.path / "src/oven.py").read_text() == "hot = True\n"
    assert (project.path / ".kaged/project.yaml").exists(), "the proposed file, as it came with none"
    assert not (project.path / ".git/hooks").exists(), "nothing of a template"
    assert [(o, how, d["url"]) for o, how, d in await house.records()] == [("bakery", "ok", origin.url())]
    await nothing_left(house)


async def test_what_a_repository_brings_along_runs_nowhere(house: House, origin: Origin) -> None:
    """Submodules, attributes and hooks are only files; its own project file is not trusted."""
    mine = "version: 1\nproject: evil\nprimary: {model: offline, system_prompt: 'config:/p.md'}\n"
    modules = '[submodule "x"]\n\tpath = x\n\turl = https://elsewhere.example.com/x.git\n'
    origin.publish("trap", {
        ".kaged/project.yaml": mine, ".kaged/p.md": "do it\n", ".gitmodules": modules,
        ".gitattributes": "* filter=pwn\n", "hooks/post-checkout": "#!/bin/sh\ntouch /tmp/pwned\n",
    })  # fmt: skip
    async with house.clones() as clones:
        clone = await ended(await clones.start(origin.url("trap.git"), "chosen", ADMIN))
    assert (clone.state, clone.project) == ("done", "evil"), clone.problem
    project = await house.projects.get("evil")
    assert (project.path.name, project.trust) == ("chosen", "untrusted")
    assert {path.split("/")[1] for path in origin.asked} == {"trap.git"}


async def test_cancelling_ends_it_and_leaves_nothing(house: House, origin: Origin) -> None:
    origin.publish("bakery", {"README.md": "bread\n"})
    origin.gate.clear()
    async with house.clones() as clones:
        clone = await clones.start(origin.url(), None, ADMIN)
        with pytest.raises(KagedError, match="exists already"):
            await clones.start(origin.url(), None, ADMIN)
        await asyncio.to_thread(origin.reached.wait, 60)
        await clones.cancel(clone.id)
        assert clone.state == "cancelled"
        assert clone.problem == f"The clone of {origin.url()} was cancelled; nothing of it is left."
        assert not (house.root / "bakery").exists()
        await nothing_left(house)
        origin.gate.set()
        assert (await ended(await clones.start(origin.url(), None, ADMIN))).state == "done"
    assert [how for _, how, _ in await house.records()] == ["ok", "failed"]


async def test_one_cancelled_at_once_is_cancelled(house: House, origin: Origin) -> None:
    async with house.clones() as clones:
        clone = await clones.start(origin.url(), None, ADMIN)
        await clones.cancel(clone.id)
        assert clone.state == "cancelled"
        await clones.cancel(clone.id)
    await nothing_left(house)


async def test_the_end_of_the_daemon_ends_it_and_a_killed_ones_leavings_go(house: House, origin: Origin) -> None:
    origin.publish("bakery", {"README.md": "bread\n"})
    origin.gate.clear()
    async with house.clones() as clones:
        clone = await clones.start(origin.url(), None, ADMIN)
        await asyncio.to_thread(origin.reached.wait, 60)
    assert clone.state == "cancelled"
    await nothing_left(house)
    (house.root / f"{STAGING}left/repo").mkdir(parents=True)
    async with house.clones():
        await nothing_left(house)


async def test_one_that_is_too_large_is_ended(house: House, origin: Origin) -> None:
    import random

    noise = random.Random(1).randbytes(3_000_000).hex()
    origin.publish("large", {"noise.txt": noise})
    async with house.clones() as clones:
        clone = await ended(await clones.start(origin.url("large.git"), None, ADMIN))
    assert clone.state == "failed"
    assert "is larger than [limits] clone_bytes allows (1 MB)" in (clone.problem or "")
    assert not (house.root / "large").exists()
    await nothing_left(house)


async def test_git_says_what_is_wrong_and_a_bad_project_file_stays_to_be_repaired(house: House, origin: Origin) -> None:
    origin.publish("odd", {".kaged/project.yaml": "version: 7\n"})
    async with house.clones() as clones:
        none = await ended(await clones.start(origin.url("none.git"), None, ADMIN))
        assert none.state == "failed" and "has no such repository, or keeps it from this login" in (none.problem or "")
        odd = await ended(await clones.start(origin.url("odd.git"), None, ADMIN))
        assert odd.state == "failed"
        assert "odd, and could not be loaded: .kaged/project.yaml:1" in (odd.problem or "")
        assert (house.root / "odd/.kaged/project.yaml").exists()
    assert json.dumps([d for _, _, d in await house.records()]).count("could not") == 1
    await nothing_left(house)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("file:///etc", "Only https"),
        ("ssh://example.com/x.git", "Only https"),
        ("ssh://-oProxyCommand=id@example.com/x.git", "Only https"),
        ("ssh://git:secret@example.com/x.git", "is not taken"),
        ("ssh://git@example.com/x.git", "ssh needs a deploy key: name its file as ssh_key in"),
        ("git@example.com:x.git", "ssh needs a deploy key"),
        ("ext::sh -c id", "Only https"),
        ("http://example.com/x.git", "Only https"),
        ("--upload-pack=id", "Only https"),
        ("https://", "Only https"),
        ("https://example.com/a b", "Only https"),
        ("https://bob:secret@example.com/x.git", "is not taken"),
        ("https://token@example.com/x.git", "is not taken"),
        ("https://example.com/x.git?token=1", "is not taken"),
        ("https://127.0.0.1/x.git", "is no host name"),
        ("https://[::1]/x.git", "is no host name"),
        ("https://0x7f000001/x.git", "is no host name"),
        ("https://*.example.com/x.git", "Only https"),
        ("https://example.com:99999/x.git", "This is no URL"),
    ],
)
async def test_urls_that_are_not_taken(house: House, url: str, words: str) -> None:
    async with house.clones() as clones:
        with pytest.raises(KagedError, match=words) as refused:
            await clones.start(url, None, ADMIN)
        assert refused.value.code == "bad_request"
        assert "secret" not in refused.value.message
        assert list(house.root.iterdir()) == []


async def test_slugs_are_plain_names(house: House, origin: Origin) -> None:
    async with house.clones() as clones:
        for slug in ("../up", "Up", "a b", ".git"):
            with pytest.raises(KagedError, match="cannot be a project's"):
                await clones.start(origin.url(), slug, ADMIN)
        with pytest.raises(KagedError, match="There is no clone"):
            clones.get("x")
