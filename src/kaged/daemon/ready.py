"""The ready block: what a person needs to see once the daemon serves."""

import os
from collections.abc import Mapping, Sequence

import kaged
from kaged.settings.paths import account_name


def block(
    environ: Mapping[str, str], *, address: str, launch_url: str | None, public_url: str, model: str, cage: str,
    warnings: Sequence[str],
) -> str:  # fmt: skip
    """The text for a terminal, with the `ssh -L` line when this is an SSH session. `address` is
    `http://127.0.0.1:7777` or `unix:/path`."""
    rows: list[tuple[str, str]] = []
    if launch_url:
        rows.append(("open", launch_url))
        if tunnel := ssh_line(launch_url, environ):
            rows.append(("first", f"{tunnel}    (on the machine you sit at)"))
        rows.append(("", "works once, for ten minutes; `kaged auth open` prints a new one"))
    else:
        where = public_url or "through the sidecar (set [daemon] public_url to its address)"
        rows += [("listens", address), ("open", where)]
    rows += [("model", model), ("cage", cage), ("stop", "Ctrl-C, or `kaged stop`")]
    rows += [("warning", text) for text in warnings]
    lines = [f"  {name:<8} {text}".rstrip() for name, text in rows]
    return "\n".join(["", f"kaged {kaged.__version__} is ready", "", *lines, ""])


def ssh_line(url: str, environ: Mapping[str, str]) -> str | None:
    """`ssh -L …` to reach `url` from the machine at the other end of this SSH session."""
    connection = environ.get("SSH_CONNECTION", "").split()
    if len(connection) != 4:
        return None
    port = url.split("/")[2].rpartition(":")[2]
    server, server_port = connection[2], connection[3]
    user = environ.get("USER") or account_name(os.getuid())
    extra = "" if server_port == "22" else f" -p {server_port}"
    return f"ssh -N -L {port}:127.0.0.1:{port}{extra} {user}@{server}"
