"""The `cage:` block: each mistake with its place, and no input that makes anything else of it."""

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kaged.projects.cage_spec import CageSpec
from kaged.projects.errors import ProjectError
from kaged.projects.parse import parse

HEAD = "version: 1\nproject: bakery\nprimary:\n  system_prompt: config:/p.md\n  cage:\n"


def cage(block: str) -> CageSpec:
    return parse(HEAD + "".join(f"    {line}\n" for line in block.splitlines())).primary.cage


def test_everything_at_once() -> None:
    spec = cage(
        """\
net:
  mode: ask
  allow: ["api.example.com", "*.cdn.example.com:8443"]
  http:
    - {host: api.example.com, methods: [GET], paths: ["/v1/*"]}
  hosts: {git.internal.example.com: 10.0.0.5}
  private: [10.1.0.0/16]
  ask_timeout: 30s
secrets:
  - {name: API_TOKEN, from: "local:token", host: api.example.com, header: X-Key, format: "Bearer {}"}
limits: {memory: null, cpu: 1.5, pids: 64, walltime: 1h, disk: 5GiB, nofile: 1024}
home: project
toolchains: [uv, rustup]
"""
    )
    assert spec.net.mode == "ask" and spec.net.ask_timeout == 30
    assert (spec.limits.memory, spec.limits.cpu, spec.limits.disk) == (None, 1.5, 5 * 1024**3)
    assert spec.secrets[0].source == "local:token"
    assert (spec.home, spec.toolchains) == ("project", ("uv", "rustup"))


@pytest.mark.parametrize(
    ("block", "problem"),
    [
        ("net: {allow: [a.example.com, '*b']}", "6:34: primary.cage.net.allow.1: a wildcard stands for"),
        ("net: {allow: a.example.com}", "6:18: primary.cage.net.allow: 'a.example.com' is not"),
        ("net: {allow: [443]}", "6:19: primary.cage.net.allow.0: 443 is not allowed; expected text"),
        ("net: {allow: [a.example.com, A.example.com:443]}",
         "6:18: primary.cage.net.allow: a.example.com:443 is listed twice"),
        ("net: {mode: open}", "6:17: primary.cage.net.mode: 'open' is not allowed; "),
        ("net: {alow: []}", "6:11: primary.cage.net.alow: is not a key that kaged knows; did you"),
        ("net:\n  http:\n    - {host: a.example.com, method: [GET]}",
         "8:33: primary.cage.net.http.0.method: is not a key that kaged knows; did you"),
        ("net: {hosts: {a.example.com: b}}", "6:34: primary.cage.net.hosts.a.example.com: 'b' is not an IP"),
        ("net: {hosts: {10.0.0.1: 10.0.0.2}}", "6:19: primary.cage.net.hosts.10.0.0.1: 10.0.0.1 is an"),
        ("net: {private: [10.0.0.1/8]}", "6:21: primary.cage.net.private.0: 10.0.0.1/8 has host bits set"),
        ("net: {ask_timeout: 2 hours}", "6:24: primary.cage.net.ask_timeout: expected a number"),
        ("secrets:\n  - {name: A, host: a.example.com}", "7:9: primary.cage.secrets.0.from: is missing"),
        ("secrets:\n  - {name: A, from: A, host: a.example.com}",
         "7:25: primary.cage.secrets.0.from: 'A' is not allowed; expected `local:KEY`"),
        ("limits: {cpu: 0}", "6:19: primary.cage.limits.cpu: 0 is out of range; allowed: more than 0"),
        ("limits: {cpu: 2000}", "6:19: primary.cage.limits.cpu: 2000 is out of range; allowed: at most"),
        ("limits: {disk: 5GB}", "6:20: primary.cage.limits.disk: expected a number"),
        ("limits: {disk: 5}", "6:20: primary.cage.limits.disk: 5 is out of range; allowed: at least 1048576"),
        ("limits: {nofile: 1}", "6:22: primary.cage.limits.nofile: 1 is out of range; allowed: at least 64"),
        ("limits: {memory: 1MiB}", "6:22: primary.cage.limits.memory: '1MiB' is out of range; allowed: "),
        ("home: forever", "6:11: primary.cage.home: 'forever' is not allowed; allowed: "),
        ("toolchains: [uvv]", "6:18: primary.cage.toolchains.0: 'uvv' is not allowed; allowed: 'lo"),
    ],
)  # fmt: skip
def test_mistakes_have_a_place_and_say_what_is_expected(block: str, problem: str) -> None:
    with pytest.raises(ProjectError) as caught:
        cage(block)
    found = caught.value.problems[-1]
    assert found[: len(problem) + 13] == f"project.yaml:{problem}"


WORDS = st.sampled_from(
    ["fs", "path", "mode", "net", "allow", "http", "host", "methods", "paths", "hosts", "private",
     "ask_timeout", "secrets", "name", "from", "header", "format", "limits", "memory", "cpu", "pids",
     "walltime", "disk", "nofile", "env", "set", "pass", "home", "toolchains", "protect", "add", "remove",
     "seccomp", "a.example.com", "API_TOKEN", "x"]
)  # fmt: skip
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
    st.sampled_from(
        [
            "*",
            "*.a.example.com:80",
            "10.0.0.1",
            "::1",
            "10.0.0.0/8",
            "GET",
            "/v1/*",
            "local:a",
            "{}",
            "2GiB",
            "30s",
            "ask",
            "learn",
            "session",
            "uv",
            "project:/",
            "rw",
            "API_TOKEN",
            "1e9",
            ":",
        ]
    ),
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS | st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)
SHAPED = st.fixed_dictionaries(
    {},
    optional={
        "net": st.dictionaries(st.sampled_from(["mode", "allow", "http", "hosts", "private", "ask_timeout"]), TREES),
        "secrets": st.lists(st.dictionaries(st.sampled_from(["name", "from", "host", "header", "format"]), LEAVES)),
        "limits": st.dictionaries(st.sampled_from(["memory", "cpu", "pids", "walltime", "disk", "nofile"]), LEAVES),
        "env": st.dictionaries(st.sampled_from(["set", "pass"]), TREES),
        "toolchains": TREES,
        "home": LEAVES,
        "protect": TREES,
        "fs": TREES,
    },
)


@settings(max_examples=300)
@given(TREES | SHAPED)
def test_every_input_is_a_policy_or_has_placed_problems(tree: Any) -> None:
    text = json.dumps({"version": 1, "project": "ab", "primary": {"system_prompt": "config:/p.md", "cage": tree}})
    try:
        spec = parse(text).primary.cage
    except ProjectError as error:
        assert error.problems
        for problem in error.problems:
            assert re.match(r"project\.yaml:[0-9]+:[0-9]+: .", problem), problem
        return
    assert CageSpec.model_validate(spec.model_dump()) == spec
