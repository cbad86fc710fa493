"""Plans as text that a person reads and compares, and what of a policy makes a plan another one."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cage.harness import plan_for
from kaged.cage import compile as compiler
from kaged.cage.argv import bwrap_options
from kaged.cage.host import HostFacts
from kaged.cage.plan import CagePlan
from kaged.core.errors import KagedError
from kaged.projects.files import parse

GOLDEN = Path(__file__).parent / "golden"
HOST = HostFacts(
    machine="x86_64",
    bwrap="/usr/bin/bwrap",
    options=frozenset({"--size", "--disable-userns"}),
    base=(("/bin", "usr/bin"), ("/lib64", None)),
    etc=("ssl/certs",),
    shell="/bin/bash",
    python="/usr/bin/python3",
    python_prefix=None,
    init="/opt/kaged/init.py",
    ca_files=("/etc/ssl/certs/ca-certificates.crt",),
    java=True,
    memory_bytes=16 * 1024**3,
)
POLICIES = {
    "default": "{}",
    "nothing": "{fs: [], limits: {memory: null}}",
    "folders": """
      fs:
        - {path: "project:/", mode: rw}
        - {path: "project:/vendor", mode: ro}
        - {path: "project:/secrets", mode: hidden}
      protect: {add: ["infra/**"], remove: [".vscode/**", ".idea/**"]}
      seccomp: relaxed
      limits: {memory: 1GiB, cpu: 1.5, pids: 64, walltime: 90s, disk: 100MiB, nofile: 256}
      env: {set: {CI: "1"}}""",
    "network": """
      net:
        allow: ["api.example.com", "*.cdn.example.com:8443", "*:22"]
        hosts: {git.internal.example.com: 10.0.0.5}
        private: [10.1.0.0/16]""",
    "requests": """
      net:
        mode: ask
        ask_timeout: 30s
        http:
          - {host: api.example.com, methods: [GET, HEAD], paths: ["/v1/*"]}
          - {host: "api.example.com:8443", methods: [POST]}
      secrets:
        - {name: API_TOKEN, from: "local:token", host: api.example.com, format: "Bearer {}"}
        - {name: OTHER_KEY, from: "local:other", host: b.example.com, header: X-Api-Key}""",
    "learning": "{net: {mode: learn}, home: session, limits: {disk: 10GiB}}",
    "toolchains": "{toolchains: [rustup, nvm], home: project}",
}


def text(plan: CagePlan, root: Path, outside: Path) -> str:
    """The whole of a plan, one thing a line."""
    args, data = bwrap_options(plan)
    lines = [plan.words(), "", *plan.explain(), "", *(f"{name}={value}" for name, value in plan.env)]
    wire = plan.to_wire()
    lines += ["", *(f"{key}: {wire[key]}" for key in ("init", "workdir", "home", "limits"))]
    lines += [f"guard: {path}" for path in plan.guards]
    for name, value in (wire["net"] or {"net": None}).items():
        lines += [f"{name}: {each}" for each in value] if isinstance(value, list) else [f"{name}: {value}"]
    flat = [arg if isinstance(arg, str) else f"<{arg['data']}>" for arg in args]
    lines += ["", " ".join(flat).replace(" --", "\n--")]
    lines += [f"\n<{name}>\n{data[name].decode()}" for name in sorted(data) if name != "seccomp"]
    written = "\n".join(lines).replace(str(root), "/srv/project").replace(str(outside), "/home/me")
    return written.rstrip() + "\n"


@pytest.mark.parametrize("name", POLICIES)
def test_plans_are_the_ones_that_were_reviewed(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `KAGED_GOLDEN=write` in the environment the files are written anew: look at the difference."""
    root, outside, kept = tmp_path / "project", tmp_path / "me", tmp_path / "me" / "kept"
    for folder in (
        root / "vendor", root / "secrets", root / ".git" / "hooks", kept, outside / ".cargo" / "bin",
        outside / ".rustup" / "toolchains", outside / ".nvm/versions/node/v20/bin",
    ):  # fmt: skip
        folder.mkdir(parents=True)
    kept.chmod(0o700)
    monkeypatch.setattr(compiler, "account_home", lambda: (outside,))
    project = "version: 1\nproject: sample\nprimary:\n  system_prompt: config:/p.md\n  cage: "
    spec = parse(project + POLICIES[name] + "\n").primary.cage
    plan = compiler.compile_plan(spec, root, name="sample", environ={}, host=HOST, home_dir=kept)
    golden = GOLDEN / f"{name}.txt"
    if os.environ.get("KAGED_GOLDEN") == "write":
        golden.write_text(text(plan, root, outside))
    assert text(plan, root, outside) == golden.read_text()


TOKEN = {"name": "A", "from": "local:a", "host": "a.example.com"}
OTHER = {**TOKEN, "name": "B", "header": "X-B"}


def test_a_running_cage_takes_another_network_policy(tmp_path: Path) -> None:
    def with_net(**spec: Any) -> str:
        return plan_for(tmp_path, **spec).hash()

    rule = {"host": "a.example.com", "methods": ["GET"]}
    base = with_net(net={"allow": ["a.example.com"]})
    assert base == with_net(net={"allow": ["b.example.com:80"]})
    assert base == with_net(net={"mode": "ask", "ask_timeout": "1m", "private": ["10.0.0.0/8"]})
    opened = with_net(net={"http": [rule]})
    assert opened == with_net(net={"http": [{**rule, "methods": ["POST"]}], "mode": "learn"})
    secret = with_net(secrets=[TOKEN])
    assert secret == with_net(secrets=[{**TOKEN, "host": "b.example.com", "format": "Bearer {}", "from": "local:b"}])
    assert len({base, opened, secret, with_net(), with_net(secrets=[TOKEN, OTHER])}) == 5


def test_what_is_built_into_the_cage_makes_another_plan(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    base = plan_for(tmp_path)
    others = [
        plan_for(tmp_path, limits={"cpu": 1}),
        plan_for(tmp_path, limits={"disk": "1GiB"}),
        plan_for(tmp_path, limits={"nofile": 100}),
        plan_for(tmp_path, home="session"),
        plan_for(tmp_path, toolchains=["go"]),
        replace(base, home_dir=str(kept)),
        replace(base, lent=("/home/me/go/bin",)),
    ]
    assert len({base.hash(), *(plan.hash() for plan in others)}) == len(others) + 1


def test_a_kept_home_without_a_folder_is_shown_and_not_started(tmp_path: Path) -> None:
    plan = plan_for(tmp_path, home="project")
    assert "kept, and the same for all sessions of the project" in plan.explain()[0]
    with pytest.raises(KagedError, match="keeps its home by project, and has no folder"):
        plan.to_wire()


def test_memory_for_the_agents_own_files_is_never_over_half_of_the_machine(tmp_path: Path) -> None:
    plan = plan_for(tmp_path, limits={"disk": "1TiB", "memory": None})
    small = replace(plan, host=replace(plan.host, memory_bytes=4 * 1024**3))
    assert small.own_bytes == 1024**3
    assert "/home/agent and /tmp, 1 GB each" in "\n".join(small.explain())
    args = small.to_wire()["args"]
    assert [args[i + 1] for i, arg in enumerate(args) if arg == "--size"][1:3] == [str(1024**3)] * 2
