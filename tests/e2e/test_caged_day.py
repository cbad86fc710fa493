"""A day of work in a cage, against local servers: everything through the gate, nothing else reachable."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.harness import Daemon, daemon
from e2e.servers import git, repository, sshd, web
from e2e.talk import Talk, control, of

pytestmark = [pytest.mark.cage, pytest.mark.timeout(300)]
NAMES = ("git", "pypi", "npm", "files")


def project(folder: Path, allow: list[str], **cage: str) -> Path:
    """A project whose cage reaches these hosts, all of them on this machine."""
    hosts = {entry.partition(":")[0] for entry in allow}
    named = ", ".join(f"{host}: 127.0.0.1" for host in sorted(hosts))
    more = "".join(f"    {key}: {value}\n" for key, value in cage.items())
    (folder / ".kaged" / "prompts").mkdir(parents=True)
    (folder / ".kaged" / "prompts" / "p.md").write_text("Work.\n")
    (folder / ".kaged" / "project.yaml").write_text(
        "version: 1\nproject: day\nprimary:\n  model: offline\n  system_prompt: config:/prompts/p.md\n  cage:\n"
        f"    net:\n      allow: [{', '.join(map(repr, allow))}]\n      hosts: {{{named}}}\n{more}"
    )
    return folder


@pytest.fixture
def kaged(short_tmp: Path) -> Iterator[Daemon]:
    with daemon(short_tmp) as it:
        yield it


async def started(api: Any, folder: Path) -> Talk:
    """A session of the project in `folder`, which is trusted."""
    answer = await api.post("/api/v1/projects/load", json={"path": str(folder), "trust": True})
    assert answer.status_code == 201, answer.text
    answer = await api.post("/api/v1/projects/day/sessions", json={})
    return Talk(api, "day", answer.json()["id"])


async def ran(talk: Talk, command: str) -> str:
    """Run one command as the agent does; its output. It has to succeed."""
    events = await talk.run(f"run: {command}")
    result = of(events, "tool.result")[-1]
    assert result["ok"], result["output"]
    return str(result["output"])


async def test_clone_install_build_serve_commit_push(kaged: Daemon, short_tmp: Path) -> None:
    bare = repository(short_tmp / "git")
    with web(bare.parent) as (port, seen):
        at = {name: f"{name}.example.com:{port}" for name in NAMES}
        folder = project(short_tmp / "day", list(at.values()), home="project")
        async with control(kaged) as api:
            talk = await started(api, folder)
            await ran(talk, f"git clone -q http://{at['git']}/repo.git work && cat work/add.c")
            get = f"curl -sSf http://{at['files']}/tool.tar.gz | tar xz -C ~/.local"
            await ran(talk, f"mkdir -p ~/.local && {get}")
            assert "tool one" in await ran(talk, "mytool one"), "~/.local/bin is on the PATH"
            pip = f"~/venv/bin/pip install -q --disable-pip-version-check --index-url http://{at['pypi']}/simple"
            trust = f"--trusted-host {at['pypi'].partition(':')[0]} demo"
            await ran(talk, f"python3 -m venv ~/venv && {pip} {trust}")
            assert "from the index" in await ran(talk, "~/venv/bin/demo")
            if shutil.which("npm", path="/usr/local/bin:/usr/bin"):
                npm = f"npm install --silent --no-audit --no-fund --registry http://{at['npm']}/ demo-pkg"
                await ran(talk, f"mkdir -p ~/js && cd ~/js && {npm}")
                assert "from the registry" in await ran(talk, "cd ~/js && node -p \"require('demo-pkg')\"")
            assert "all-good" in await ran(talk, "cd work && cc -o add add.c && sh test.sh")
            await ran(talk, "cd work && (nohup python3 -m http.server 8000 >~/server.log 2>&1 &)")
            wait = "for n in $(seq 100); do curl -sf localhost:8000/add.c && exit 0; sleep 0.1; done; exit 1"
            assert "20 + 22" in await ran(talk, wait), "a server of an earlier command answers"
            commit = "git checkout -q -b agent && git add test.sh add.c && git commit -q --allow-empty -m work"
            await ran(talk, f"cd work && {commit} && git push -q origin agent")
            assert git(bare, "log", "--format=%s", "-1", "agent") == "work\n"
            again = await started(api, folder)
            assert "tool two" in await ran(again, "mytool two"), "the project's home is kept for the next session"
            assert await denied(again, "curl -sS -m 5 http://elsewhere.example.com/"), "no name but the listed ones"
    assert {line.split()[1] for line in seen} <= set(at.values())


async def denied(talk: Talk, command: str) -> list[Any]:
    """What the gate refused while this command ran and failed."""
    before = await talk.head()
    events = await talk.run(f"run: {command}")
    assert not of(events, "tool.result")[-1]["ok"]
    return [(await talk.until("network.denied", before))["data"]]


@pytest.mark.skipif(os.geteuid() != 0, reason="a local sshd needs root")
@pytest.mark.skipif(not Path("/usr/sbin/sshd").exists(), reason="openssh-server is not installed")
async def test_git_over_ssh(kaged: Daemon, short_tmp: Path) -> None:
    bare = repository(short_tmp / "git")
    with sshd(short_tmp / "ssh") as (port, key):
        folder = project(short_tmp / "day", [f"ssh.example.com:{port}"])
        shutil.copy(key, folder / "key")
        async with control(kaged) as api:
            talk = await started(api, folder)
            options = "-i ~/key -o StrictHostKeyChecking=accept-new -o UserKnownHostsFile=~/known"
            await ran(talk, "install -m 600 key ~/key")
            use = f'export GIT_SSH_COMMAND="ssh {options}"'
            await ran(talk, f"{use}; git clone -q ssh://root@ssh.example.com:{port}{bare} work")
            push = "git commit -q --allow-empty -m over-ssh && git push -q origin HEAD:ssh"
            await ran(talk, f"{use}; cd work && {push}")
    assert git(bare, "log", "--format=%s", "-1", "ssh") == "over-ssh\n"
