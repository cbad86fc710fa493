"""The console's files: from a fixed list, compressed where asked, kept by browsers for ever."""

from pathlib import Path
from typing import Any

import httpx2
import pytest

from kaged.api.static import Console


@pytest.fixture
def web(tmp_path: Path) -> Path:
    folder = tmp_path / "web"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text('<script src="./assets/a-1.js"></script>', encoding="utf-8")
    for suffix in ("", ".br", ".gz"):
        (folder / "assets" / f"a-1.js{suffix}").write_text(f"a{suffix}", encoding="utf-8")
    (folder / "assets" / "b-2.css").write_text("b", encoding="utf-8")
    (folder / "icon.svg").write_text("<svg/>", encoding="utf-8")
    (tmp_path / "secret.txt").write_text("secret", encoding="utf-8")
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    return folder


async def got(web: Path, path: str, method: str = "GET", **headers: str) -> Any:
    transport = httpx2.ASGITransport(Console(web))
    async with httpx2.AsyncClient(transport=transport, base_url="http://kaged.example.com") as client:
        return await client.request(method, path, headers={"Accept-Encoding": "identity", **headers})


@pytest.mark.parametrize(
    ("accepted", "encoding", "content"),
    [
        ("identity", None, "a"),
        ("x-br, gzipped", None, "a"),
        ("gzip", "gzip", "a.gz"),
        ("gzip, deflate, br;q=0.9", "br", "a.br"),
    ],
)
async def test_the_smallest_that_is_accepted(web: Path, accepted: str, encoding: str | None, content: str) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": "GET", "path": "/assets/a-1.js",
        "headers": [(b"accept-encoding", accepted.encode())],
    }  # fmt: skip
    await Console(web)(scope, None, send)  # type: ignore[arg-type]
    headers = dict(sent[0]["headers"])
    assert sent[0]["status"] == 200
    assert headers.get(b"content-encoding", b"").decode() == (encoding or "")
    assert headers[b"vary"] == b"accept-encoding"
    assert sent[1]["body"].decode() == content


async def test_how_long_they_are_kept(web: Path) -> None:
    asset = await got(web, "/assets/b-2.css")
    assert asset.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert (await got(web, "/icon.svg")).headers["cache-control"] == "no-cache"
    assert (await got(web, "/projects/x")).headers["cache-control"] == "no-store"
    assert (await got(web, "/index.html")).status_code == 404, "the shell has one name for each page"


@pytest.mark.parametrize(
    "path", ["/link.txt", "/assets/../../secret.txt", "/%2e%2e/secret.txt", "/assets/none.js", "/assets/", "/x.php"]
)
async def test_what_is_not_in_the_list_is_not_there(web: Path, path: str) -> None:
    answer = await got(web, path)
    assert answer.status_code == 404
    assert "secret" not in answer.text


async def test_only_reading(web: Path) -> None:
    for method in ("POST", "PUT", "DELETE"):
        answer = await got(web, "/", method)
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


async def test_without_a_console_it_says_how_to_get_one(tmp_path: Path) -> None:
    answer = await got(tmp_path, "/")
    assert answer.status_code == 503
    assert "make ui" in answer.text
