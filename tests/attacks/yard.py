"""A cage with something around it that nobody inside may reach: where the escapes are tried."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kaged.cage.client import Exit, KeeperClient
from kaged.cage.compile import compile_plan
from kaged.cage.plan import CagePlan
from kaged.projects.cage_spec import CageSpec
from real_keeper import mark


@dataclass
class Yard:
    """One cage, its project, and the folder around the project that nobody inside may see."""

    client: KeeperClient
    around: Path
    plan: CagePlan
    id: str

    @property
    def project(self) -> Path:
        return Path(self.plan.root)

    async def run(self, *argv: str, **options: Any) -> tuple[Exit, str]:
        process = await self.client.run(self.id, f"p-{mark()}", argv, **options)
        end = await process.wait()
        text = process.stream.read(0, 1 << 22)[1].decode("utf-8", "replace")
        await self.client.forget(process.id)
        return end, text

    async def sh(self, script: str, **options: Any) -> str:
        return (await self.run("/bin/sh", "-c", script, **options))[1]

    async def python(self, script: str, **options: Any) -> str:
        end, text = await self.run(self.plan.host.python, "-I", "-c", script, **options)
        assert end.code == 0, text
        return text


async def open_yard(client: KeeperClient, around: Path, **spec: Any) -> Yard:
    return await open_at(client, around, around / "project", **spec)


async def open_at(client: KeeperClient, around: Path, root: Path, **spec: Any) -> Yard:
    plan = compile_plan(CageSpec.model_validate(spec), root, name="yard", environ={})
    yard = Yard(client, around, plan, f"cage-{mark()}")
    await client.ensure_cage(yard.id, plan)
    return yard
