"""The cage block: what is refused, and with which sentence; what a cage may reach."""

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from kaged.projects.cage_spec import CageSpec, NetSpec, SecretSpec, split
from kaged.projects.files import parse
from kaged.projects.yaml_core import ProjectError

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


SECRET = {"name": "API_TOKEN", "from": "local:token", "host": "api.example.com"}


def refused(model: type[Any], match: str, **values: Any) -> None:
    with pytest.raises(ValidationError, match=match):
        model.model_validate(values)


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("api.example.com", "api.example.com:443"),
        ("API.Example.COM:8443", "api.example.com:8443"),
        ("*.cdn.example.com", "*.cdn.example.com:443"),
        ("*.cdn.example.com:80", "*.cdn.example.com:80"),
        ("*", "*:443"),
        ("*:22", "*:22"),
        ("localhost:11434", "localhost:11434"),
        ("_srv.example.com:65535", "_srv.example.com:65535"),
        ("Bücher.example.com", "xn--bcher-kva.example.com:443"),
        ("*.bücher.example.com:80", "*.xn--bcher-kva.example.com:80"),
        ("xn--bcher-kva.example.com", "xn--bcher-kva.example.com:443"),
        ("\uff45xample.com", "example.com:443"),
    ],
)
def test_hosts_have_one_form(text: str, host: str) -> None:
    assert NetSpec.model_validate({"allow": [text]}).allow == (host,)
    assert NetSpec.model_validate({"allow": [host]}).allow == (host,)
    name, port = split(host)
    assert f"{name}:{port}" == host and port > 0


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("https://api.example.com/v1", "without scheme, path and user; write api.example.com:443"),
        ("http://api.example.com", "write api.example.com:80"),
        ("http://api.example.com:8080/x", "write api.example.com:8080"),
        ("api.example.com/v1", "write api.example.com:443"),
        ("//api.example.com", "write api.example.com:443"),
        ("me:secret@api.example.com", "write api.example.com:443"),
        ("https://", "write example.com:443"),
        ("api.example.com.", "write 'api.example.com', without a dot"),
        ("api.example.com.:443", "without a dot at the end"),
        ("10.0.0.1", "is an address; write the host's name, and give its address in `net.hosts`"),
        ("10.0.0.1:443", "is an address"),
        ("::1", "is an address"),
        ("2001:db8::1", "is an address"),
        ("[2001:db8::1]:443", "is an address"),
        ("fe80::1%eth0", "is an address"),
        ("127.1", "is an address"),
        ("2130706433", "is an address"),
        ("0x7f000001", "is an address"),
        ("0x7f.1:80", "is an address"),
        ("\uff11\uff12\uff17.0.0.1", "is an address"),
        ("*example.com", "a wildcard stands for the whole beginning"),
        ("api.*.com", "a wildcard stands for the whole beginning"),
        ("*.*.com", "a wildcard stands for the whole beginning"),
        ("**", "a wildcard stands for the whole beginning"),
        ("*.", "'' is not a host name"),
        ("", "is not a host name"),
        (":443", "is not a host name"),
        ("a..example.com", "'a..example.com' is not a host name"),
        (".example.com", "is not a host name"),
        ("-a.example.com", "because of '-a'"),
        ("a b.example.com", "because of 'a b'"),
        ("a\0.example.com", "is not a host name"),
        ("a\n.example.com", "is not a host name"),
        ("x" * 64 + ".example.com", "is not a host name"),
        (".".join(["x" * 60] * 5), "is not a host name"),
        ("ü" * 80 + ".example.com", "is not a host name"),
        ("a\ud800.example.com", "is not a host name"),
        ("api.example.com:0", "'0' is not a port"),
        ("api.example.com:65536", "is not a port; expected a number from 1 to 65535"),
        ("api.example.com:", "'' is not a port"),
        ("api.example.com:https", "'https' is not a port"),
        ("api.example.com:٤٤٣", "is not a port"),
        ("api.example.com:+443", "is not a port"),
    ],
)
def test_what_is_no_host_is_said(text: str, problem: str) -> None:
    with pytest.raises(ValidationError) as caught:
        NetSpec.model_validate({"allow": [text]})
    assert problem in str(caught.value.errors()[0]["ctx"]["error"])


@given(st.text(max_size=30) | st.from_regex(r"(\*\.)?[a-z.-]{0,20}(:[0-9]{0,6})?", fullmatch=True))
def test_every_text_is_a_host_in_one_form_or_refused(text: str) -> None:
    try:
        [host] = NetSpec.model_validate({"allow": [text]}).allow
    except ValidationError:
        return
    assert host.isascii() and host == host.lower()
    name, port = split(host)
    assert name[-1:] != "." and 0 < port <= 65535
    assert NetSpec.model_validate({"allow": [host]}).allow == (host,)


def test_the_same_entry_is_not_listed_twice() -> None:
    refused(NetSpec, "api.example.com:443 is listed twice", allow=["api.example.com", "API.example.com:443"])
    rule = {"host": "api.example.com", "methods": ["GET"]}
    refused(NetSpec, "the rule for api.example.com:443 is listed twice", http=[rule, rule])
    both = NetSpec.model_validate({"http": [rule, {**rule, "methods": ["POST"], "paths": ["/v1/*"]}]})
    assert [r.paths for r in both.http] == [("/", "/*"), ("/v1/*",)]


@pytest.mark.parametrize("path", ["/", "/*", "/v1/*", "/v1/*/files", "/a-*.json", "/a/", "/~me/@x:y;z=1"])
def test_paths(path: str) -> None:
    [rule] = NetSpec.model_validate({"http": [{"host": "x.example.com", "methods": ["GET"], "paths": [path]}]}).http
    assert rule.paths == (path,)


@pytest.mark.parametrize(
    "path", ["", "v1", "*", "/a b", "/a?x=1", "/a#b", "/%2e%2e/x", "//a", "/a//b", "/a/../b", "/./a", "/a/..",
             "/a\\b", "/ä", "/a\n"]
)  # fmt: skip
def test_what_is_no_path(path: str) -> None:
    refused(NetSpec, "a path such as", http=[{"host": "x.example.com", "methods": ["GET"], "paths": [path]}])


@pytest.mark.parametrize("method", ["get", "GET ", "", "*", "G/T", "GET\n"])
def test_what_is_no_method(method: str) -> None:
    refused(NetSpec, "a method in capitals", http=[{"host": "x.example.com", "methods": [method]}])


def test_a_rule_without_methods_is_none() -> None:
    refused(NetSpec, "methods", http=[{"host": "x.example.com"}])
    refused(NetSpec, "at least 1 item", http=[{"host": "x.example.com", "methods": []}])


def test_addresses_of_hosts() -> None:
    net = NetSpec.model_validate({"hosts": {"Git.Internal.example.com": "10.0.0.5", "six.example.com": "::1"}})
    assert net.hosts == {"git.internal.example.com": "10.0.0.5", "six.example.com": "::1"}
    for name, address, match in [
        ("*.example.com", "10.0.0.5", "wildcard"),
        ("a.example.com:80", "10.0.0.5", "is not a host name"),
        ("10.0.0.1", "10.0.0.5", "is an address"),
        ("a.example.com", "b.example.com", "is not an IP address"),
        ("a.example.com", "10.0.0.0/8", "is not an IP address"),
        ("a.example.com", "0.0.0.0", "not the address of one machine"),
        ("a.example.com", "::", "not the address of one machine"),
        ("a.example.com", "224.0.0.1", "not the address of one machine"),
        ("a.example.com", "fe80::1%eth0", "not the address of one machine"),
    ]:
        refused(NetSpec, match, hosts={name: address})


def test_private_networks() -> None:
    net = NetSpec.model_validate({"private": ["10.1.0.0/16", "10.2.3.4", "fd00::/8"]})
    assert net.private == ("10.1.0.0/16", "10.2.3.4/32", "fd00::/8")
    refused(NetSpec, "host bits set; expected a network", private=["10.1.0.1/16"])
    refused(NetSpec, "expected a network", private=["example.com"])
    refused(NetSpec, "every address there is", private=["0.0.0.0/0"])
    refused(NetSpec, "every address there is", private=["::/0"])


def test_how_long_an_ask_waits() -> None:
    assert NetSpec().ask_timeout == 120
    assert NetSpec.model_validate({"ask_timeout": "30s"}).ask_timeout == 30
    refused(NetSpec, "greater than or equal to 1", ask_timeout=0)


def test_secrets() -> None:
    secret = SecretSpec.model_validate(SECRET)
    assert (secret.header, secret.format, secret.host) == ("Authorization", "{}", "api.example.com:443")
    for key, value, match in [
        ("name", "API-TOKEN", "not the name of an environment variable"),
        ("name", "KAGED_TOKEN", "belongs to kaged itself"),
        ("from", "token", "`local:KEY`"),
        ("from", "local:", "`local:KEY`"),
        ("from", "env:TOKEN", "`local:KEY`"),
        ("host", "*.example.com", "goes to one host"),
        ("host", "*", "goes to one host"),
        ("header", "X Key", "a header that can carry a secret"),
        ("header", "Host", "a header that can carry a secret"),
        ("header", "Content-Length", "a header that can carry a secret"),
        ("header", "X:\r\n", "a header that can carry a secret"),
        ("format", "Bearer", "with `{}` once"),
        ("format", "{} {}", "with `{}` once"),
        ("format", "{}\r\nX: y", "with `{}` once"),
    ]:
        refused(SecretSpec, match, **{**SECRET, key: value})
    assert SecretSpec.model_validate({**SECRET, "header": "Host-Key"}).header == "Host-Key"


def test_secrets_beside_each_other() -> None:
    other = {**SECRET, "name": "OTHER"}
    refused(CageSpec, "API_TOKEN is listed twice", secrets=[SECRET, {**SECRET, "host": "b.example.com"}])
    refused(CageSpec, "the header authorization of api.example.com:443 is listed twice",
            secrets=[SECRET, {**other, "header": "AUTHORIZATION"}])  # fmt: skip
    refused(CageSpec, "API_TOKEN is in `env` too", secrets=[SECRET], env={"set": {"API_TOKEN": "x"}})
    both = CageSpec.model_validate({"secrets": [SECRET, {**other, "header": "X-Key"}]})
    assert [secret.name for secret in both.secrets] == ["API_TOKEN", "OTHER"]
