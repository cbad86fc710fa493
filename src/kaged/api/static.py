"""The built console under `/`: hashed assets are immutable, the shell is never cached."""

import mimetypes
from dataclasses import dataclass
from pathlib import Path

from starlette.responses import HTMLResponse, Response
from starlette.types import Receive, Scope, Send

_ENCODINGS = ((b"br", ".br"), (b"gzip", ".gz"))
_MISSING = (
    "<!doctype html><title>kaged</title><p>The console is not built. Run <code>make ui</code> in the "
    "checkout (or install a released wheel), then reload this page."
)


@dataclass(frozen=True, slots=True)
class _File:
    content: bytes
    kind: str
    encoding: str | None


class Console:
    """Serves the console's files, and the shell for every other path below `/` (deep links).

    Files are read once, when first asked for, from a fixed list made at start: a path from the network
    is only ever looked up in that list, never joined to a folder.
    """

    def __init__(self, web: Path) -> None:
        self._web = web
        self._names = frozenset(
            str(path.relative_to(web)) for path in web.rglob("*") if path.is_file() and not path.is_symlink()
        )
        self._cache: dict[str, _File] = {}
        self._page: str | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._answer(scope)(scope, receive, send)

    def _answer(self, scope: Scope) -> Response:
        if scope["method"] not in {"GET", "HEAD"}:
            return Response(status_code=405, headers={"allow": "GET, HEAD"})
        name = str(scope["path"]).removeprefix(str(scope.get("root_path", ""))).lstrip("/")
        if name in self._names and name != "index.html":
            cache = "public, max-age=31536000, immutable" if "/" in name else "no-cache"
            return self._file(name, scope, cache)
        if "." in name.rsplit("/", 1)[-1] or name.split("/", 1)[0] == "assets":
            return Response("not found", status_code=404, media_type="text/plain")
        if "index.html" not in self._names:
            return HTMLResponse(_MISSING, status_code=503)
        return self._shell(name.count("/"))

    def _shell(self, depth: int) -> Response:
        """The shell with its links pointing up to the root: relative, as a proxy may have put us anywhere."""
        if self._page is None:
            self._page = (self._web / "index.html").read_text(encoding="utf-8")
        up = "../" * depth or "./"
        page = self._page.replace('"./assets/', f'"{up}assets/')
        return HTMLResponse(page, headers={"cache-control": "no-store", "vary": "accept-encoding"})

    def _file(self, name: str, scope: Scope, cache: str) -> Response:
        accepted = next((value for key, value in scope["headers"] if key == b"accept-encoding"), b"")
        offered = {part.split(b";")[0].strip() for part in accepted.split(b",")}
        suffix, encoding = next(
            (
                (ending, token.decode())
                for token, ending in _ENCODINGS
                if token in offered and name + ending in self._names
            ),
            ("", None),
        )
        file = self._cache.get(name + suffix)
        if file is None:
            kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
            file = _File((self._web / (name + suffix)).read_bytes(), kind, encoding)
            self._cache[name + suffix] = file
        headers = {"cache-control": cache, "vary": "accept-encoding"}
        if file.encoding:
            headers["content-encoding"] = file.encoding
        return Response(file.content, media_type=file.kind, headers=headers)
