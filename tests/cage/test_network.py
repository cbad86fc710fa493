"""The network of a plan: what crosses the wires, and a cage that trusts an authority of its own."""

from pathlib import Path
from typing import Any

import pytest

from cage.harness import AUTHORITY, plan_for, sh
from kaged.cage.network import net_plan
from kaged.core.errors import KagedError
from kaged.projects.cage_spec import CageSpec

TOKEN = {"name": "API_TOKEN", "from": "local:token", "host": "api.example.com", "format": "Bearer {}"}


def test_nothing_to_reach_is_no_network(tmp_path: Path) -> None:
    for net in ({}, {"allow": []}, {"hosts": {"a.example.com": "10.0.0.5"}}, {"private": ["10.0.0.0/8"]}):
        plan = plan_for(tmp_path, net=net)
        assert plan.net is None and plan.to_wire()["net"] is None
    for spec in ({"net": {"mode": "ask"}}, {"net": {"mode": "learn"}}, {"secrets": [TOKEN]}):
        assert net_plan(CageSpec.model_validate(spec)) is not None


def test_the_wire_form() -> None:
    spec: dict[str, Any] = {
        "net": {
            "mode": "ask",
            "allow": ["API.example.com", "*.cdn.example.com:8443", "*"],
            "http": [{"host": "api.example.com", "methods": ["GET"], "paths": ["/v1/*"]}],
            "hosts": {"git.internal.example.com": "10.0.0.5"},
            "private": ["10.1.0.0/16"],
        },
        "secrets": [TOKEN],
    }
    plan = net_plan(CageSpec.model_validate(spec))
    assert plan is not None and plan.opens_tls
    assert plan.to_wire() == {
        "mode": "ask",
        "allow": [
            {"host": "api.example.com", "port": 443},
            {"host": "*.cdn.example.com", "port": 8443},
            {"host": "*", "port": 443},
        ],
        "http": [{"host": "api.example.com", "port": 443, "methods": ["GET"], "paths": ["/v1/*"]}],
        "secrets": [
            {
                "name": "API_TOKEN",
                "host": "api.example.com",
                "port": 443,
                "header": "authorization",
                "format": "Bearer {}",
                "placeholder": "kaged-secret-API_TOKEN",
            }
        ],
        "hosts": {"git.internal.example.com": "10.0.0.5"},
        "private": ["10.1.0.0/16"],
        "ask_timeout_s": 120,
    }


def test_a_cage_without_opened_hosts_trusts_nobody_new(tmp_path: Path) -> None:
    wire = plan_for(tmp_path, net={"allow": ["a.example.com"]}).to_wire()
    assert not any(isinstance(arg, dict) and arg["data"][:2] == "ca" for arg in wire["args"])
    assert "SSL_CERT_FILE" not in wire["env"] and "JAVA_TOOL_OPTIONS" not in wire["env"]


@pytest.mark.cage
@pytest.mark.parametrize(
    "spec",
    [{"secrets": [TOKEN]}, {"net": {"http": [{"host": "a.example.com", "methods": ["GET"]}]}}],
    ids=["secret", "rule"],
)
def test_the_authority_is_where_programs_look(tmp_path: Path, spec: dict[str, Any]) -> None:
    plan = plan_for(tmp_path, **spec)
    wire = plan.to_wire()
    assert not set(wire["data"]) & set(AUTHORITY)
    done = sh(
        plan,
        "cat $SSL_CERT_FILE $CURL_CA_BUNDLE $REQUESTS_CA_BUNDLE $GIT_SSL_CAINFO $PIP_CERT $CARGO_HTTP_CAINFO;"
        "cat $NODE_EXTRA_CA_CERTS /run/kaged/ca-truststore.p12; ls /etc/ssl/certs | wc -l",
    )
    all_of_them = AUTHORITY["ca-bundle"].decode()
    assert done.stdout.startswith(all_of_them * 6 + AUTHORITY["ca"].decode() + AUTHORITY["ca-truststore"].decode())
    assert done.stderr == ""
    for path in plan.host.ca_files:
        again = sh(plan, f"cat {path}; echo x > {path}; rm {path}")
        assert (
            again.stdout == all_of_them
            and again.stderr.count("Read-only file system") + again.stderr.count("Device or resource busy") == 2
        )
    if plan.host.java:
        assert f"trustStore={'/run/kaged/ca-truststore.p12'} " in dict(plan.env)["JAVA_TOOL_OPTIONS"]


def test_the_cage_sees_a_placeholder(tmp_path: Path) -> None:
    plan = plan_for(tmp_path, secrets=[TOKEN])
    assert dict(plan.env)["API_TOKEN"] == "kaged-secret-API_TOKEN"
    assert any("goes to api.example.com as `Authorization: Bearer …`" in line for line in plan.explain())


@pytest.mark.parametrize("name", ["PATH", "HOME", "SSL_CERT_FILE", "GIT_CONFIG_SYSTEM"])
def test_a_secret_takes_no_variable_of_the_cage(tmp_path: Path, name: str) -> None:
    with pytest.raises(KagedError, match=f"{name} is set by kaged") as caught:
        plan_for(tmp_path, secrets=[TOKEN, {**TOKEN, "name": name, "header": "X-Key"}])
    assert caught.value.details == {"key": "cage.secrets[1].name"}
