"""The built console under `/`: hashed assets are immutable, the shell is never cached."""

import mimetypes
from pathlib import Path

from starlette.responses import HTMLResponse, Response
from starlette.types import Receive, Scope, Send

_ENCODINGS = (("br", ".br"), ("gzip", ".gz"))
_MISSING = (
    "<!doctype html><title>kaged</title><p>The console is not built. Run <code>make ui</code> in the "
    "checkout (or install a released wheel), then reload this page."
)
_SHELL = "index.html"
mimetypes.add_type("application/manifest+json", ".webmanifest")


class Console:
    """The console's files, and the shell for every other path (deep links). Files come from a fixed list made at start:
    a path from the network is only looked up there, never joined to a folder. The shell's tags point at `./`; it
    is served with as many `../` as the path is deep, so that no proxy's prefix needs to be known."""

    def __init__(self, web: Path) -> None:
        self._web = web
        self._names = frozenset(
            str(path.relative_to(web)) for path in web.rglob("*") if path.is_file() and not path.is_symlink()
        )
        self._shell = (web / _SHELL).read_text(encoding="utf-8") if _SHELL in self._names else None
        self._cache: dict[str, bytes] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._answer(scope)(scope, receive, send)

    def _answer(self, scope: Scope) -> Response:
        if scope["method"] not in {"GET", "HEAD"}:
            return Response(status_code=405, headers={"allow": "GET, HEAD"})
        name = str(scope["path"]).removeprefix(str(scope.get("root_path", ""))).lstrip("/")
        if name in self._names and name != _SHELL:
            return self._file(name, scope)
        place, _, rest = name.partition("/")
        # Below a project an address may name a file, dots and all.
        if place == "assets" or ("." in name.rsplit("/", 1)[-1] and not (place == "projects" and rest)):
            return Response("not found", status_code=404, media_type="text/plain")
        if self._shell is None:
            return HTMLResponse(_MISSING, status_code=503)
        up = "../" * name.count("/") or "./"
        return HTMLResponse(self._shell.replace('"./', f'"{up}'), headers={"cache-control": "no-store"})

    def _file(self, name: str, scope: Scope) -> Response:
        accepted = next((value for key, value in scope["headers"] if key == b"accept-encoding"), b"")
        offered = {part.split(";")[0].strip() for part in accepted.decode("latin-1").split(",")}
        packed = [(e, s) for e, s in _ENCODINGS if e in offered and name + s in self._names]
        encoding, suffix = packed[0] if packed else (None, "")
        content = self._cache.get(name + suffix)
        if content is None:
            content = self._cache[name + suffix] = (self._web / (name + suffix)).read_bytes()
        fresh = "public, max-age=31536000, immutable" if "/" in name else "no-cache"
        headers = {"cache-control": fresh, "vary": "accept-encoding"}
        if encoding is not None:
            headers["content-encoding"] = encoding
        return Response(content, media_type=mimetypes.guess_type(name)[0], headers=headers)
