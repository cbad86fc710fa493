"""Wheel and sdist contain the built console; a wheel from the sdist needs no Node."""

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ConsoleHook(BuildHookInterface):  # type: ignore[misc]
    """Builds `src/kaged/web` before packaging. An editable install leaves that to `make`."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the console unless the install is editable or the sources are not here (sdist)."""
        root = Path(self.root)
        if version == "editable" or not (root / "ui" / "package.json").exists():
            return
        sys.path.insert(0, str(root / "scripts"))
        import build_ui

        build_ui.build()
