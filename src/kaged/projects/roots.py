"""Which folders may be projects."""

import contextlib
import os
import pwd
from pathlib import Path

from kaged.core.errors import KagedError
from kaged.settings.config import Loaded

KERNEL = (Path("/proc"), Path("/sys"), Path("/dev"), Path("/run"))


class RootRules:
    """Folders that a project must stay clear of, and in system mode those it must lie in; every path is resolved."""

    def __init__(self, loaded: Loaded) -> None:
        paths = loaded.paths
        above = (Path("/"), paths.config_dir, paths.config_file, paths.audit_log, paths.database, *_homes())
        self.above_refused = [path.resolve() for path in above]
        """No project is one of these or above one of these."""
        self.inside_refused = [path.resolve() for path in (*KERNEL, paths.home, paths.runtime)]
        """The same, and nor does one lie inside one of these."""
        self.own = paths.projects_dir.resolve()
        """kaged's own projects: folders directly in here are allowed although the home is not."""
        self.roots = [path.resolve() for path in loaded.config.projects.roots] if loaded.mode == "system" else None

    def check(self, path: Path) -> Path:
        """The resolved folder, or KagedError (bad_request, not_found, forbidden) that says what to choose."""
        if not path.is_absolute() or "\0" in str(path):
            raise KagedError("bad_request", f"{path} is not an absolute path; name the folder from / on")
        try:
            folder = path.resolve(strict=True)
            info = folder.stat()
        except (OSError, RuntimeError) as error:
            reason = getattr(error, "strerror", None) or "is a loop of links"
            raise KagedError("not_found", f"{path}: {reason.lower()}; name a folder that exists") from None
        if not folder.is_dir():
            raise KagedError("bad_request", f"{folder} is a file; name the folder of the project")
        self._check_place(folder)
        if info.st_uid != os.geteuid():
            whose = f"{folder} belongs to {_account(info.st_uid)}, and kaged runs as {_account(os.geteuid())}"
            raise KagedError("forbidden", f"{whose}; a project must belong to the account that runs kaged")
        return folder

    def _check_place(self, folder: Path) -> None:
        for refused in (*self.inside_refused, *self.above_refused):
            inside = folder.is_relative_to(refused) and refused in self.inside_refused and folder.parent != self.own
            if inside or refused.is_relative_to(folder):
                relation = "is" if folder == refused else "lies in" if inside else "contains"
                what = f"{folder} {relation} {refused}, which no agent may reach"
                raise KagedError("forbidden", f"{what}; choose a folder of its own")
        if self.roots is not None and not any(folder != root and folder.is_relative_to(root) for root in self.roots):
            listed = ", ".join(map(str, self.roots))
            what = f"{folder} is outside of the folders for projects ({listed})"
            raise KagedError("forbidden", f"{what}; move it, or add its parent to [projects] roots in config.toml")


def _homes() -> list[Path]:
    """The account's home directory, by its entry and by the environment, which may differ or lack one."""
    named = [os.environ.get("HOME", "")]
    with contextlib.suppress(KeyError):
        named.append(pwd.getpwuid(os.geteuid()).pw_dir)
    return [Path(home) for home in named if Path(home).is_absolute()]


def _account(uid: int) -> str:
    try:
        return f"{pwd.getpwuid(uid).pw_name} (uid {uid})"
    except KeyError:
        return f"uid {uid}"
