"""Finding the keeper, or starting it: a detached process with a clean environment."""

import asyncio
import os
import socket
import sys
from pathlib import Path

import h11

import kaged
from kaged.core.errors import KagedError

_PASSED = ("PATH", "LANG", "HOME", "TERM", "SSL_CERT_FILE", "SSL_CERT_DIR")
_START_LIMIT_S = 20.0
_LOG_LIMIT = 1024 * 1024


def dial(path: Path) -> socket.socket | None:
    """Connect to a keeper that listens there; None when there is none."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.connect(str(path))
    except OSError as error:
        sock.close()
        if isinstance(error, FileNotFoundError | ConnectionRefusedError):
            return None
        raise KagedError("unavailable", f"the keeper's socket {path} cannot be reached: {error}") from error
    sock.setblocking(False)
    return sock


async def start(path: Path, runtime: Path, grace_s: float) -> None:
    """Start a keeper and wait until its socket takes connections. Of the environment only a few harmless names go with
    it; its messages go to `<runtime>/keeper.log`. Raises `KagedError` (`unavailable`) with what it said."""
    main = Path(kaged.__file__).parent / "keeper" / "main.py"
    log = runtime / "keeper.log"
    errors = _open_log(log)
    try:
        before = os.fstat(errors).st_size
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", str(main), "--socket", str(path), "--grace", str(grace_s)),
            *("--site", str(Path(h11.__file__).parents[1])),
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=errors, cwd="/",
            start_new_session=True, env={name: os.environ[name] for name in _PASSED if name in os.environ},
        )  # fmt: skip
    finally:
        os.close(errors)
    assert process.stdout is not None
    try:
        async with asyncio.timeout(_START_LIMIT_S):
            said = await process.stdout.read()
            await process.wait()
    except TimeoutError:
        raise KagedError("unavailable", f"the keeper was not ready in time: see {log}") from None
    if said.split()[:1] not in ([b"ready"], [b"running"]):
        with log.open("rb") as file:
            file.seek(before)
            words = file.read()[-2000:].decode("utf-8", "replace").strip()
        raise KagedError("unavailable", f"the keeper did not start: {words or 'it said nothing'} (see {log})")


def _open_log(log: Path) -> int:
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > _LOG_LIMIT:
        log.unlink()
    return os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
