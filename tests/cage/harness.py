"""Runs a plan under bubblewrap directly, without a keeper: what the options alone are worth."""

import base64
import contextlib
import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from kaged.cage.compile import compile_plan
from kaged.cage.host import host_facts
from kaged.cage.plan import CagePlan
from kaged.projects.cage_spec import CageSpec

SOURCE = Path(__file__)
AUTHORITY = {
    "ca": b"the authority\n",
    "ca-bundle": b"all authorities\n",
    "ca-truststore": b"for Java\n",
    "init": b"",
    "files": b"",
}
"""What the keeper adds: the files of a cage's own authority, and the init."""


def plan_for(root: Path, **spec: Any) -> CagePlan:
    """A plan for `root` whose init is a file that surely exists."""
    return compile_plan(
        CageSpec.model_validate(spec),
        root,
        name="test",
        environ={},
        host=replace(host_facts(), init=str(SOURCE), bytecode=False),
    )


def start(
    plan: CagePlan,
    argv: Sequence[str],
    *,
    filtered: bool = True,
    change: Callable[[list[Any]], list[Any]] | None = None,
    also: Sequence[int] = (),
    **popen: Any,
) -> "subprocess.Popen[str]":
    """Start `argv` in a cage made from the plan's wire form.

    For positive controls: without its filter, with changed options, with further descriptors.
    """
    wire = plan.to_wire()
    if not filtered:
        wire["args"] = wire["args"][: wire["args"].index("--seccomp")]
    if change is not None:
        wire["args"] = change(wire["args"])
    fds: list[int] = []

    def memory(content: bytes) -> int:
        fd = os.memfd_create("cage", 0)
        os.write(fd, content)
        os.lseek(fd, 0, os.SEEK_SET)
        fds.append(fd)
        return fd

    data = AUTHORITY | {name: base64.b64decode(content) for name, content in wire["data"].items()}
    args = [arg if isinstance(arg, str) else str(memory(data[arg["data"]])) for arg in wire["args"]]
    listed = memory("\0".join(args).encode("utf-8", "surrogateescape") + b"\0")
    environment = [part for name, value in wire["env"].items() for part in (f"{name}={value}",)]
    try:
        return subprocess.Popen(
            [plan.host.bwrap, "--args", str(listed), "--", "/usr/bin/env", *environment, *argv],
            pass_fds=[*fds, *also],
            text=True,
            **{
                "env": {"PATH": "/usr/bin:/bin"},
                "stdin": subprocess.DEVNULL,
                "stdout": subprocess.PIPE,
                "stderr": subprocess.PIPE,
                **popen,
            },
        )
    finally:
        for fd in fds:
            os.close(fd)


def run(plan: CagePlan, argv: Sequence[str], timeout: float = 60) -> "subprocess.CompletedProcess[str]":
    """Run `argv` to its end in a cage, and remove the placeholders afterwards."""
    try:
        with start(plan, argv) as process:
            out, err = process.communicate(timeout=timeout)
            return subprocess.CompletedProcess(list(argv), process.returncode, out, err)
    finally:
        for path in plan.placeholders:
            with contextlib.suppress(OSError):
                Path(path).rmdir()


def sh(plan: CagePlan, script: str, timeout: float = 60) -> "subprocess.CompletedProcess[str]":
    """Run a shell script in a cage."""
    return run(plan, ["/bin/sh", "-c", script], timeout)


def python(plan: CagePlan, script: str, timeout: float = 60) -> "subprocess.CompletedProcess[str]":
    """Run a Python script in a cage, with the interpreter the plan chose."""
    return run(plan, [plan.host.python, "-I", "-c", script], timeout)


__all__ = ["plan_for", "python", "run", "sh", "start"]
