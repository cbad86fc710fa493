"""The tools of this version, by name."""

from collections.abc import Collection, Mapping
from typing import Any

from kaged.core.events import ToolSpec
from kaged.tools.ask import Ask, Checkpoint
from kaged.tools.base import Tool
from kaged.tools.delegate import Delegate
from kaged.tools.files import EditFile, ReadFile, WriteFile
from kaged.tools.search import Find, Grep
from kaged.tools.shell import Shell

BUILT_IN: tuple[type[Tool[Any]], ...] = (
    Shell, ReadFile, WriteFile, EditFile, Grep, Find, Ask, Checkpoint, Delegate,
)  # fmt: skip


class Toolbox:
    def __init__(self) -> None:
        self._tools: Mapping[str, Tool[Any]] = {kind.name: kind() for kind in BUILT_IN}
        self.names = tuple(self._tools)
        self._specs = {name: tool.spec for name, tool in self._tools.items()}

    def get(self, name: str) -> Tool[Any] | None:
        return self._tools.get(name)

    def specs(self, enabled: Collection[str]) -> list[ToolSpec]:
        return [spec for name, spec in self._specs.items() if name in enabled]
