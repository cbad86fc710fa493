"""The HTTP client of the control socket. The standard library's: one small connection, quick to import."""

import http.client
import json
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from kaged.core.errors import STATUS, KagedError
from kaged.settings import paths

TIMEOUT_S = 60.0
SYSTEM_SOCKET = Path("/") / paths.SYSTEM_RUNTIME / "control.sock"
SYSTEM_ENV = Path("/") / paths.SYSTEM_CONFIG.parent / "env"


@dataclass(frozen=True, slots=True)
class Target:
    """Which daemon the command is about, as chosen by flags and environment."""

    config: Path | None
    mode: str | None

    def place(self) -> tuple[paths.Mode, Path, Path]:
        """Mode, config.toml and runtime folder of the account's own daemon, else of the host's if that may be used."""
        environ, root = os.environ, Path("/")
        mode = paths.choose_mode(self.mode, environ, root)
        file = paths.choose_file(self.config, mode, environ, root)
        runtime = paths.find_runtime(mode, file, environ, root)
        named = any(environ.get(name) for name in ("KAGED_MODE", "KAGED_CONFIG", "KAGED_HOME"))
        chosen = self.mode or self.config or named
        own = chosen or (runtime / "control.sock").exists()
        if not own and (os.access(SYSTEM_SOCKET, os.W_OK) or (not file.exists() and os.access(SYSTEM_ENV, os.W_OK))):
            return "system", root / paths.SYSTEM_CONFIG, SYSTEM_SOCKET.parent
        return mode, file, runtime

    def flags(self) -> list[str]:
        """The same choice, for another process of kaged."""
        config = [] if self.config is None else [f"--config={self.config}"]
        return config + ([] if self.mode is None else [f"--mode={self.mode}"])

    def api(self) -> "Api":
        return Api(self.place()[2] / "control.sock")


class NotRunning(KagedError):
    """No daemon answers on the control socket."""


class Api:
    """Calls of routes below `/api/v1`: the decoded JSON, or text. Each raises KagedError with the daemon's sentence."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def get(self, route: str, /, *, timeout_s: float = TIMEOUT_S, **query: object) -> Any:
        given = {key: value for key, value in query.items() if value is not None}
        return self._call("GET", route + (f"?{urlencode(given)}" if given else ""), None, timeout_s)

    def post(self, route: str, body: Mapping[str, object], /) -> Any:
        return self._call("POST", route, body)

    def put(self, route: str, body: Mapping[str, object], /) -> Any:
        return self._call("PUT", route, body)

    def delete(self, route: str, /, **query: str) -> Any:
        return self._call("DELETE", f"{route}?{urlencode(query)}", None)

    def items(self, route: str, /, *, at_most: int = 10_000) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        cursor = None
        while True:
            page = self.get(route, limit=min(500, at_most - len(found)), cursor=cursor)
            found += page["items"]
            cursor = page["next"]
            if cursor is None or not page["items"] or len(found) >= at_most:
                return found

    def _call(self, method: str, route: str, body: Mapping[str, object] | None, timeout_s: float = TIMEOUT_S) -> Any:
        connection = _Connection(self.path, timeout_s)
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        payload = None if body is None else json.dumps(body).encode()
        try:
            connection.request(method, f"/api/v1{route}", payload, headers)
            answer = connection.getresponse()
            data = answer.read()
        except TimeoutError:
            raise KagedError("unavailable", f"kaged did not answer within {timeout_s:.0f} s") from None
        except (ConnectionRefusedError, FileNotFoundError):
            raise NotRunning("unavailable", f"kaged is not running ({self.path}); start it with: kaged start") from None
        except PermissionError:
            text = f"{self.path} belongs to another account; run this as that account, or as root"
            raise KagedError("forbidden", text) from None
        except (OSError, http.client.HTTPException) as error:
            raise KagedError("unavailable", f"the connection to kaged broke: {error}") from None
        finally:
            connection.close()
        return _decoded(answer, data)


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def _decoded(answer: http.client.HTTPResponse, data: bytes) -> Any:
    is_json = answer.headers.get_content_type() == "application/json"
    try:
        value = json.loads(data) if is_json and data else data.decode("utf-8", "replace")
    except ValueError:
        raise KagedError("internal", "kaged answered something that is not JSON") from None
    if answer.status < 400:
        return value
    error = value.get("error") if isinstance(value, dict) else None
    if not isinstance(error, dict):
        raise KagedError("internal", f"kaged answered with status {answer.status}")
    code, details = str(error.get("code")), error.get("details")
    known = details if isinstance(details, dict) else None
    raise KagedError(code if code in STATUS else "internal", str(error.get("message")), known)


def part(text: str) -> str:
    """One segment of a path, quoted."""
    return quote(text, safe="")
