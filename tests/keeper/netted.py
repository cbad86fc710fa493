"""Cages with a network, served by the stand-in gate, for tests."""

import base64
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from kaged.cage.client import Exit, KeeperClient
from real_keeper import LiteralPlan, mark, marked, project

GATE = Path(__file__).with_name("stand_in_gate.py")
NFT = shutil.which("nft", path="/usr/sbin:/sbin:/usr/bin:/bin")
API = {"host": "api.example.com", "port": 80}

needs_nft = pytest.mark.skipif(NFT is None, reason="nftables is not installed")
modes = pytest.mark.parametrize(
    "nft", [pytest.param(NFT or "", marks=needs_nft, id="nft"), pytest.param("", id="routes")]
)


def options(folder: Path, nft: str = "") -> list[str]:
    """For the start of a keeper that takes the stand-in for its gate."""
    return ["--gate", str(GATE), "--site", str(folder), "--nft", nft]


def plan(folder: Path, *allow: dict[str, Any], **net: Any) -> LiteralPlan:
    """A cage that may reach some hosts."""
    made = LiteralPlan(project(folder))
    made.wire["data"]["resolv"] = base64.b64encode(b"nameserver 127.0.0.1\n").decode()
    made.mounts = ["--ro-bind-data", {"data": "resolv"}, "/etc/resolv.conf"]
    made.wire["net"] = {"mode": "enforce", "allow": list(allow or [API]), **net}
    return made


def asked(folder: Path, op: str) -> list[dict[str, Any]]:
    """Every such request the gate has got."""
    lines = (folder / "gate.log").read_text().splitlines() if (folder / "gate.log").exists() else []
    return [request for line in lines if (request := json.loads(line))["op"] == op]


def gates(folder: Path) -> list[int]:
    """The gate of the keeper under that folder, if it runs."""
    return sorted(set(marked(f"{GATE}\0--fd")) & set(marked(str(folder))))


async def run(client: KeeperClient, cage: str, argv: Sequence[str]) -> tuple[Exit, str]:
    """A command's end and all its output."""
    process = await client.run(cage, f"run-{mark()}", argv)
    end = await process.wait()
    output = process.stream.read(0, 1 << 20)[1].decode()
    await client.forget(process.id)
    return end, output


async def curl(client: KeeperClient, url: str, cage: str = "c") -> str:
    """What curl gets, or its complaint."""
    return (await run(client, cage, ["curl", "-sS", "-g", "-m", "15", url]))[1]
