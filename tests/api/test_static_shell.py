"""The shell at every depth: its links are relative, so a reload on a deep link works below any path."""

from pathlib import Path
from typing import Any

import pytest

from kaged.api.static import Console

_PAGE = '<script src="./assets/a-1.js"></script><link href="./assets/a-1.css">'


async def _get(console: Console, path: str) -> tuple[int, str]:
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request"}

    scope = {"type": "http", "method": "GET", "path": path, "root_path": "", "headers": []}
    await console(scope, receive, send)
    return sent[0]["status"], b"".join(part.get("body", b"") for part in sent[1:]).decode()


@pytest.mark.parametrize(
    ("path", "up"),
    [
        ("/projects/p/files/src/a.py", "../../../../"),
        ("/", "./"),
        ("/models", "./"),
        ("/projects/hello", "../"),
        ("/projects/hello/sessions/01J", "../../../"),
        ("/projects/hello/", "../../"),
    ],
)
async def test_links_point_to_the_root_from_every_depth(tmp_path: Path, path: str, up: str) -> None:
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "a-1.js").write_text("1")
    (tmp_path / "index.html").write_text(_PAGE)
    status, body = await _get(Console(tmp_path), path)
    assert status == 200
    assert body == _PAGE.replace("./assets/", f"{up}assets/")
