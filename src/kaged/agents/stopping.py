"""Stopping what an agent has running: its commands in the cage, background ones included."""

import asyncio
import contextlib
import shlex
import signal
from collections.abc import Sequence
from typing import Any

from kaged.cage.client import KeeperClient
from kaged.core.errors import KagedError
from kaged.tools.base import CageSession

SWEEP_S = 0.1
"""Time between two looks for commands, while a call is on its way."""
PATIENCE_S = 0.7
"""How long a stopped call may take to report its own end before it is given up."""
WORDS = 80


def command_words(argv: Sequence[str]) -> str:
    """A command as the operator knows it: the shell's line without the shell."""
    line = argv[2] if len(argv) == 3 and argv[1] == "-c" else shlex.join(argv)
    line = " ".join(line.split())
    return line if len(line) <= WORDS else line[: WORDS - 1] + "…"


async def kill_commands(keeper: KeeperClient, cage_id: str) -> list[str]:
    """Kill every command of the cage with all it started; terminals stay. Says in words what it was."""
    words = []
    state = await keeper.state()
    for info in state.processes:
        if info.cage != cage_id or info.pty or not info.running:
            continue
        try:
            process = await keeper.attach(info.id)
            await process.signal(signal.SIGKILL, tree=True)
        except KagedError as error:
            if error.code != "not_found":
                raise
            continue
        words.append(f"the command `{command_words(info.argv)}`")
    return words


async def stop_call(cage: CageSession, task: asyncio.Task[Any]) -> list[str]:
    """Kill commands until the call has ended, those it just starts too, or patience has; says what was stopped."""
    words: list[str] = []
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE_S):
            while not task.done():
                words += await kill_commands(cage.client, cage.cage_id)
                await asyncio.wait({task}, timeout=SWEEP_S)
    return list(dict.fromkeys(words))
