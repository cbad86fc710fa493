"""What a terminal runs."""

import os
import pwd
from pathlib import Path
from typing import NamedTuple

SCREEN = {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
"""What every client can show."""

CAGE_SHELL = ("/bin/sh", "-c", "if command -v bash >/dev/null 2>&1; then exec bash -l; fi; exec sh -l")
"""bash where the cage has it, else sh."""

_NO_SHELLS = frozenset({"false", "nologin"})


class HostShell(NamedTuple):
    """The login shell and folder of the daemon's own account."""

    argv: tuple[str, ...]
    cwd: str


def host_shell() -> HostShell:
    """The account's shell, or bash or sh when it is one that lets nobody in (system accounts)."""
    try:
        account = pwd.getpwuid(os.geteuid())
        shell, home = account.pw_shell, account.pw_dir
    except KeyError:  # an account without a name: containers do that
        shell, home = "", "/"
    wanted = [shell] if Path(shell).name not in _NO_SHELLS else []
    usable = [each for each in (*wanted, "/bin/bash", "/bin/sh") if each and os.access(each, os.X_OK)]
    return HostShell((usable[0] if usable else "/bin/sh", "-l"), home if Path(home).is_dir() else "/")
