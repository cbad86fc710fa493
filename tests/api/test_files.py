"""Files and changes over HTTP: what people see and do, and what must not be reached."""

import base64
import hashlib
import os
import subprocess
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from api.served import Served, served
from kaged.projects import beneath
from sessions.house import PROJECT, calls, house_in, says

pytestmark = pytest.mark.cage
BASE = "/api/v1/projects/demo"
HIDING = (
    PROJECT
    + "  cage:\n    fs:\n      - {path: 'project:/', mode: rw}\n      - {path: 'project:/secrets', mode: hidden}\n"
)


@pytest.fixture
async def it(tmp_path: Path, short_tmp: Path) -> AsyncIterator[Served]:
    async with house_in(tmp_path, short_tmp, git=True) as house, served(house, short_tmp) as built:
        assert (await built.call("alice", "GET", "/api/v1/me")).status_code == 200
        yield built


async def ask(it: Served, method: str, route: str, status: int = 200, /, user: str = "alice", **body: Any) -> Any:
    params = {key: body.pop(key) for key in ("session", "base") if key in body}
    given: dict[str, Any] = {"params": {**params, **body}} if method == "GET" else {"params": params, "json": body}
    answer = await it.call(user, method, f"{BASE}{route}", **given)
    assert answer.status_code == status, answer.text
    return answer.json() if answer.content else None


def git(folder: Path, *words: str) -> str:
    own = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    done = subprocess.run(["git", *own, *words], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout


def repository(it: Served, **files: str) -> Path:
    root = it.house.project_dir
    for name, text in files.items():
        (root / name).write_text(text)
    git(root, "init", "-q", "-b", "main")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "first")
    return root


def lines(*changed: int, count: int = 30) -> str:
    return "".join(f"{number}{' changed' if number in changed else ''}\n" for number in range(1, count + 1))


def sha(text: str | bytes) -> str:
    return hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()


async def test_a_folder_is_listed_by_pages_with_git_s_letters(it: Served) -> None:
    root = repository(it, **{"kept.txt": "1", "changed.txt": "1", ".gitignore": "*.log\n"})
    (root / "changed.txt").write_text("2")
    (root / "new.txt").write_text("1")
    (root / "x.log").write_text("1")
    (root / "dir").mkdir()
    (root / "dir" / "below.txt").write_text("1")
    (root / "to-root").symlink_to("/etc")
    os.mkfifo(root / "pipe")
    (root / os.fsdecode(b"caf\xe9.txt")).write_bytes(b"")
    first = await ask(it, "GET", "/files", limit=3)
    rest = await ask(it, "GET", "/files", cursor=first["next"])
    assert len(first["items"]) == 3 and rest["next"] is None
    found = [(item["name"], item["kind"], item["state"]) for item in first["items"] + rest["items"]]
    assert found == [
        (".kaged", "dir", None), ("dir", "dir", "?"), (".gitignore", "file", None), ("caf\\xe9.txt", "other", "?"),
        ("changed.txt", "file", "M"), ("kept.txt", "file", None), ("new.txt", "file", "?"), ("pipe", "other", None),
        ("to-root", "link", "?"), ("x.log", "file", "!"),
    ]  # fmt: skip
    below = (await ask(it, "GET", "/files", path="dir"))["items"]
    assert [(item["name"], item["size"], item["state"]) for item in below] == [("below.txt", 1, "?")]
    await ask(it, "GET", "/files", 404, path="nowhere")


async def test_files_are_found_by_letters_best_first_and_ignored_ones_not(it: Served) -> None:
    root = repository(it, **{".gitignore": "*.log\n", "main.py": "1"})
    (root / "src").mkdir()
    (root / "src" / "domain_types.py").write_text("1")
    (root / "src" / "m-a-i-n.txt").write_text("123")
    (root / "main.log").write_text("1")
    found = (await ask(it, "GET", "/files", find="MAIN", limit=10))["items"]
    assert found == [
        {"path": "main.py", "kind": "file", "size": 1},
        {"path": "src/domain_types.py", "kind": "file", "size": 1},
        {"path": ".kaged/prompts/main.md", "kind": "file", "size": 11},
        {"path": "src/m-a-i-n.txt", "kind": "file", "size": 3},
    ]
    assert len((await ask(it, "GET", "/files", find="", limit=2))["items"]) == 2


async def test_content_is_text_an_image_or_only_told(it: Served) -> None:
    root = it.house.project_dir
    (root / "a.txt").write_text("häuser\n")
    picture = b"\x89PNG\r\n\x1a\n" + b"0" * 10
    (root / "a.png").write_bytes(picture)
    (root / "a.bin").write_bytes(b"a\0b")
    (root / "latin").write_bytes(b"caf\xe9")
    with (root / "huge").open("wb") as file:
        file.truncate(1024**3)
    found = await ask(it, "GET", "/files/content", path="a.txt")
    assert (found["kind"], found["text"], found["hash"], found["guarded"]) == (
        "text",
        "häuser\n",
        sha("häuser\n"),
        False,
    )
    found = await ask(it, "GET", "/files/content", path="a.png")
    assert (found["kind"], found["type"], base64.b64decode(found["data"])) == ("image", "image/png", picture)
    for name, kind, size in (("a.bin", "binary", 3), ("latin", "binary", 4), ("huge", "large", 1024**3)):
        found = await ask(it, "GET", "/files/content", path=name)
        assert (found["kind"], found["size"], "text" in found) == (kind, size, False)
    await ask(it, "GET", "/files/content", 404, path="nowhere")
    answer = await it.call("alice", "GET", f"{BASE}/files/content", params={"path": "a.png"})
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_a_file_is_written_unless_it_changed_meanwhile(it: Served) -> None:
    root = it.house.project_dir
    (root / "run.sh").write_text("one")
    (root / "run.sh").chmod(0o755)
    done = await ask(it, "PUT", "/files/content", path="run.sh", text="two", base_hash=sha("one"))
    assert done == {"path": "run.sh", "hash": sha("two")}
    assert (root / "run.sh").stat().st_mode & 0o777 == 0o755
    (root / "run.sh").write_text("the agent's")
    refused = await ask(it, "PUT", "/files/content", 409, path="run.sh", text="three", base_hash=sha("two"))
    assert refused["error"]["message"].startswith("run.sh was changed or removed meanwhile")
    assert (root / "run.sh").read_text() == "the agent's"
    await ask(it, "PUT", "/files/content", path="new/deep.txt", text="x", base_hash=None)
    await ask(it, "PUT", "/files/content", 409, path="new/deep.txt", text="y", base_hash=None)
    await ask(it, "PUT", "/files/content", 409, path="gone.txt", text="y", base_hash=sha("x"))
    assert (root / "new" / "deep.txt").read_text() == "x"
    assert [p.name for p in root.rglob("*.tmp")] == []
    assert [(r[1], r[4]["path"]) for r in it.house.audit.records if r[1] == "file.write"] == [
        ("file.write", "run.sh"), ("file.write", "new/deep.txt")
    ]  # fmt: skip


async def test_a_change_between_the_look_and_the_writing_is_not_overwritten(
    it: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = it.house.project_dir / "a.txt"
    path.write_text("one")
    write = beneath._write

    def late(folder: int, name: str, text: str) -> None:
        write(folder, name, text)
        path.write_text("the agent's")

    monkeypatch.setattr(beneath, "_write", late)
    await ask(it, "PUT", "/files/content", 409, path="a.txt", text="two", base_hash=sha("one"))
    assert path.read_text() == "the agent's"
    assert not [*path.parent.glob(".*.tmp")]


WAYS_OUT = [
    "../outside.txt", "/etc/passwd", "a/../../outside.txt", "./a", "a//b", "", "..", "link.txt", "folder/outside.txt",
    "up/outside.txt", "pipe", "proc/1/environ", "self/environ", "a\0b", "x" * 300, "device", "real",
]  # fmt: skip


@pytest.mark.parametrize("path", WAYS_OUT)
async def test_t34_no_path_leads_out(it: Served, path: str) -> None:
    root = it.house.project_dir
    outside = root.parent / "outside.txt"
    outside.write_text("outside")
    (root / "inside.txt").write_text("inside")
    for name, target in {
        "link.txt": outside, "folder": root.parent, "up": Path(".."), "proc": Path("/proc"), "self": Path("/proc/self"),
        "device": Path("/dev/zero"),
    }.items():  # fmt: skip
        (root / name).symlink_to(target)
    (root / "real").mkdir()
    os.mkfifo(root / "pipe")
    answer = await it.call("alice", "GET", f"{BASE}/files/content", params={"path": path})
    assert answer.status_code in (400, 404) and "outside" not in answer.json().get("text", ""), answer.text
    for base_hash in (None, sha("outside")):
        body = {"path": path, "text": "mine", "base_hash": base_hash}
        answer = await it.call("alice", "PUT", f"{BASE}/files/content", json=body)
        assert answer.status_code in (400, 404, 409), answer.text
    assert outside.read_text() == "outside" and (root / "link.txt").is_symlink()
    if path not in ("", "real"):
        answer = await it.call("alice", "GET", f"{BASE}/files", params={"path": path.removesuffix("/outside.txt")})
        assert answer.status_code in (400, 404), answer.text
    found = await ask(it, "GET", "/files/content", path="inside.txt")
    assert found["text"] == "inside"  # the control


async def test_what_is_no_text_at_all_is_refused_in_a_sentence(it: Served) -> None:
    for body in (
        '{"path": "\\ud800", "text": "", "base_hash": null}',
        '{"path": "a", "text": "\\udfff", "base_hash": null}',
    ):
        answer = await it.call("alice", "PUT", f"{BASE}/files/content", content=body.encode())
        assert answer.status_code == 400, answer.text
    big = it.house.project_dir / "big.bin"
    big.write_bytes(b"x" * 9_000_000)
    assert (await ask(it, "GET", "/files/content", path="big.bin"))["hash"] == ""
    await ask(it, "PUT", "/files/content", 409, path="big.bin", text="x", base_hash=sha(b"x" * 8 * 1024 * 1024))
    assert big.stat().st_size == 9_000_000


async def test_t34_a_link_swapped_in_is_never_followed(it: Served) -> None:
    root = it.house.project_dir
    (root.parent / "out").mkdir()
    (root.parent / "out" / "a.txt").write_text("outside")
    (root / "real").mkdir()
    (root / "real" / "a.txt").write_text("inside")
    (root / "link").symlink_to(root.parent / "out")
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            for one, two in (("dir", "spare"), ("link", "dir"), ("dir", "link"), ("spare", "dir")):
                (root / one).rename(root / two)

    (root / "real").rename(root / "dir")
    swapping = threading.Thread(target=swap)
    swapping.start()
    try:
        seen = set()
        for _ in range(150):
            answer = await it.call("alice", "GET", f"{BASE}/files/content", params={"path": "dir/a.txt"})
            seen.add(answer.json().get("text"))
            body = {"path": "dir/a.txt", "text": "inside", "base_hash": sha("outside")}
            await it.call("alice", "PUT", f"{BASE}/files/content", json=body)
    finally:
        stop.set()
        swapping.join()
    assert "outside" not in seen
    assert (root.parent / "out" / "a.txt").read_text() == "outside"


async def test_what_is_hidden_and_git_s_own_folder_do_not_exist(it: Served) -> None:
    root = repository(it, **{"a.txt": "1"})
    (root / "secrets").mkdir()
    (root / "secrets" / "key.txt").write_text("hush")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "with the secret")
    (root / "secrets" / "key.txt").write_text("hush hush")
    (root / ".kaged" / "project.yaml").write_text(HIDING)
    (root / "way").symlink_to("secrets")
    (root / "file").symlink_to("secrets/key.txt")
    for path in ("way/key.txt", "file"):  # links stay in the project, and lead to what is hidden
        await ask(it, "GET", "/files/content", 400, path=path)
    await ask(it, "GET", "/files", 400, path="way")
    (root / "way").unlink()
    (root / "file").unlink()
    names = [item["name"] for item in (await ask(it, "GET", "/files"))["items"]]
    assert names == [".kaged", "a.txt"]
    for path in ("secrets/key.txt", "secrets", ".git/config", ".git/hooks/pre-commit", ".git"):
        await ask(it, "GET", "/files/content", 404, path=path)
        await ask(it, "GET", "/files", 404, path=path)
        await ask(it, "PUT", "/files/content", 404, path=path, text="x", base_hash=None)
    assert (await ask(it, "GET", "/files", find="key.t"))["items"] == []
    changed = await ask(it, "GET", "/diff")
    assert [item["path"] for item in changed["items"]] == [".kaged/project.yaml"]
    await ask(it, "GET", "/diff/file", 404, path="secrets/key.txt")
    # No folder, and nothing that git takes for one, is a way around: the last commit has the secret.
    git(root, "checkout", "-q", "--", ".kaged")
    (root / ".kaged" / "project.yaml").write_text(HIDING.replace("project:/secrets'", "project:/secrets/key.txt'"))
    for path in ("secrets/key.txt", ".", "", "secrets/.", "secrets/../secrets", ".git"):
        await ask(it, "GET", "/diff/file", 404 if path in ("secrets/key.txt", ".git") else 400, path=path)
        await ask(
            it,
            "POST",
            "/commits",
            404 if path in ("secrets/key.txt", ".git") else 400,
            message="x",
            paths=[path or "."],
        )
    assert await ask(it, "GET", "/diff/file", path="secrets") == {"open": None, "staged": None}
    await ask(it, "POST", "/diff/accept", 409, path="secrets", base_hash=sha(""))
    await ask(it, "POST", "/commits", 409, message="x", paths=["secrets"])
    assert "hush" in git(root, "show", "HEAD:secrets/key.txt") and git(root, "diff", "--cached") == ""


async def test_who_may_do_what(it: Served) -> None:
    root = repository(it, **{".envrc": "export A=1\n", "a.txt": "1"})
    for user, role in (("vera", "viewer"), ("ed", "editor"), ("olga", "owner"), ("nobody", None)):
        await it.call(user, "GET", "/api/v1/me")
        if role is not None:
            body = {"user": user, "role": role}
            assert (await it.call("alice", "PUT", f"{BASE}/members", json=body)).status_code == 204
    for path in ("/files", "/files/content", "/diff", "/diff/file", "/prompts"):
        given = {"path": "a.txt"} if path in ("/files/content", "/diff/file") else {}
        await ask(it, "GET", path, user="vera", **given)
        await ask(it, "GET", path, 404, user="nobody", **given)
    for method, path in (("PUT", "/files/content"), ("POST", "/diff/accept"), ("POST", "/commits")):
        await ask(it, method, path, 403, user="vera")
        await ask(it, method, path, 404, user="nobody")
        await ask(it, method, path, 400, user="ed")
    prompt = {"path": ".kaged/prompts/main.md", "text": "Be kind.\n", "base_hash": sha("Be useful.\n")}
    await ask(it, "PUT", "/files/content", user="ed", **prompt)
    assert (await ask(it, "GET", ""))["trust"] == "changed"  # nothing of it runs before an owner has looked
    envrc = {"path": ".envrc", "text": "export A=2\n", "base_hash": sha("export A=1\n")}
    refused = await ask(it, "PUT", "/files/content", 403, user="ed", **envrc)
    assert refused["error"]["details"] == {"role": "editor", "needs": "owner"}
    assert (await ask(it, "GET", "/files/content", path=".envrc"))["guarded"] is True
    await ask(it, "PUT", "/files/content", user="olga", **envrc)
    assert (root / ".envrc").read_text() == "export A=2\n"
    assert (await ask(it, "GET", "/prompts"))["items"] == [{"path": ".kaged/prompts/main.md"}]


async def test_changes_are_reviewed_by_hunk_and_committed_without_hooks(it: Served) -> None:
    root = repository(it, **{"a.txt": lines(), "b.txt": "1\n"})
    hook = root / ".git" / "hooks" / "pre-commit"
    hook.write_text(f"#!/bin/sh\ntouch {root}/hooked\nexit 1\n")
    hook.chmod(0o755)
    (root / "a.txt").write_text(lines(2, 15, 28))
    (root / "b.txt").unlink()
    (root / "new.txt").write_text("n\n")
    index = (root / ".git" / "index").read_bytes()
    found = await ask(it, "GET", "/diff")
    assert (found["branch"], found["count"], found["next"]) == ("main", 3, None)
    assert [[*item.values()] for item in found["items"]] == [
        ["a.txt", "M", 3, 3, False], ["b.txt", "D", 0, 1, False], ["new.txt", "A", 1, 0, False]
    ]  # fmt: skip
    shown = await ask(it, "GET", "/diff/file", path="a.txt")
    assert (root / ".git" / "index").read_bytes() == index  # looking changes nothing
    assert [hunk.splitlines()[4:6] for hunk in shown["open"]["hunks"]][1] == ["-15", "+15 changed"]
    assert shown["staged"] is None and not shown["open"]["cut"]
    seen = shown["open"]["hash"]
    await ask(it, "POST", "/diff/accept", 409, path="a.txt", hunk=3, base_hash=seen)
    left = await ask(it, "POST", "/diff/accept", path="a.txt", hunk=2, base_hash=seen)
    assert (len(left["open"]["hunks"]), len(left["staged"]["hunks"])) == (2, 1)
    refused = await ask(it, "POST", "/diff/revert", 409, path="a.txt", hunk=0, base_hash=seen)
    assert refused["error"]["message"] == "a.txt has changed since you looked at it: look again."
    left = await ask(it, "POST", "/diff/revert", path="a.txt", hunk=0, base_hash=left["open"]["hash"])
    assert (root / "a.txt").read_text() == lines(15, 28)
    left = await ask(it, "POST", "/diff/reopen", path="a.txt", base_hash=left["staged"]["hash"])
    assert left["staged"] is None and len(left["open"]["hunks"]) == 2
    await ask(it, "POST", "/commits", 409, message="nothing is accepted")
    for name in ("a.txt", "b.txt", "new.txt"):
        opened = (await ask(it, "GET", "/diff/file", path=name))["open"]
        await ask(it, "POST", "/diff/accept", path=name, base_hash=opened["hash"])
    done = await ask(it, "POST", "/commits", 201, message="-m as it is\n\nwith more")
    assert (done["count"], git(root, "status", "--porcelain")) == (0, "")
    assert git(root, "log", "-1", "--format=%H|%an|%ae|%cn|%B").strip() == (
        f"{done['commit']}|kaged|kaged@localhost|kaged|-m as it is\n\nwith more"
    )
    assert not (root / "hooked").exists()
    told = [record[1] for record in it.house.audit.records]
    assert (told.count("change.accept"), told.count("change.revert"), told.count("change.commit")) == (4, 1, 1)


async def test_new_deleted_and_binary_files_are_reverted_and_named_ones_committed(it: Served) -> None:
    root = repository(it, **{"gone.txt": "g\n", "other.txt": "1\n"})
    (root / "gone.txt").unlink()
    (root / "fresh.bin").write_bytes(b"a\0b")
    (root / "with space.txt").write_text("1\n")
    (root / "other.txt").write_text("2\n")
    for name in ("gone.txt", "fresh.bin"):
        opened = (await ask(it, "GET", "/diff/file", path=name))["open"]
        await ask(it, "POST", "/diff/revert", path=name, base_hash=opened["hash"])
    assert (root / "gone.txt").read_text() == "g\n" and not (root / "fresh.bin").exists()
    await ask(it, "POST", "/commits", 201, message="one", paths=["with space.txt"])
    assert git(root, "show", "--format=", "--name-only") == "with space.txt\n"
    assert git(root, "status", "--porcelain") == " M other.txt\n"


async def test_a_name_that_is_no_utf8_is_told_and_refused(it: Served) -> None:
    root = repository(it, **{"a.txt": "1\n"})
    (root / os.fsdecode(b"caf\xe9.txt")).write_bytes(b"1\n")
    assert [item["path"] for item in (await ask(it, "GET", "/diff"))["items"]] == ["caf\\xe9.txt"]
    assert (await ask(it, "GET", "/files", find="caf"))["items"][0]["path"] == "caf\\xe9.txt"
    await ask(it, "GET", "/files/content", 404, path="caf\\xe9.txt")
    await ask(it, "POST", "/diff/revert", 409, path="caf\\xe9.txt", base_hash=sha(""))


async def test_filters_that_the_repository_names_run_where_they_can_do_no_harm(it: Served) -> None:
    """An agent's attributes may call a filter that the person's configuration names: it must not reach hooks."""
    root = repository(it, **{"a.txt": "1\n"})
    git(root, "config", "filter.evil.clean", "touch .git/hooks/post-checkout .kaged/made made; cat")
    (root / ".gitattributes").write_text("* filter=evil\n")
    (root / "a.txt").write_text("2\n")
    await ask(it, "GET", "/diff")
    await ask(it, "GET", "/files")
    assert (root / "made").exists()  # it ran
    assert not (root / ".git" / "hooks" / "post-checkout").exists() and not (root / ".kaged" / "made").exists()


async def test_what_an_agent_changed_is_shown_and_reverted_without_a_repository(it: Served) -> None:
    root = it.house.project_dir
    (root / "a.txt").write_text(lines())
    refused = await ask(it, "GET", "/diff", 409)
    assert "run `git init` in it" in refused["error"]["message"]
    assert refused["error"]["details"] == {"no_repository": True}
    session = (await ask(it, "POST", "/sessions", 201))["id"]
    await ask(it, "GET", "/diff", 404, session=session, base="session")
    await it.house.say(
        session, "go", calls(("shell", {"command": "sed -i 's/^5$/five/; s/^25$/x/' a.txt"})), says("ok")
    )
    both = {"session": session, "base": "session"}
    found = await ask(it, "GET", "/diff", **both)
    assert found["items"] == [{"path": "a.txt", "status": "M", "added": 2, "deleted": 2, "staged": False}]
    shown = await ask(it, "GET", "/diff/file", path="a.txt", **both)
    left = await ask(it, "POST", "/diff/revert", path="a.txt", hunk=1, base_hash=shown["open"]["hash"], **both)
    assert len(left["open"]["hunks"]) == 1
    assert (root / "a.txt").read_text() == lines().replace("5\n", "five\n", 1)
    await ask(it, "POST", "/diff/accept", 400, path="a.txt", base_hash=left["open"]["hash"], **both)
    (root / ".kaged" / "prompts" / "main.md").write_text("Be rude.\n")
    shown = await ask(it, "GET", "/diff/file", path=".kaged/prompts/main.md", **both)
    refused = await ask(
        it, "POST", "/diff/revert", 403, path=".kaged/prompts/main.md", base_hash=shown["open"]["hash"], **both
    )
    assert "is protected in the cage" in refused["error"]["message"]


async def test_a_session_s_worktree_has_files_and_changes_of_its_own(it: Served) -> None:
    root = repository(it, **{"a.txt": "1\n"})
    session = (await ask(it, "POST", "/sessions", 201, workspace="worktree"))["id"]
    await ask(it, "PUT", "/files/content", path="a.txt", text="2\n", base_hash=sha("1\n"), session=session)
    assert (root / "a.txt").read_text() == "1\n"
    assert (await ask(it, "GET", "/files/content", path="a.txt", session=session))["text"] == "2\n"
    found = await ask(it, "GET", "/diff", session=session)
    assert [item["path"] for item in found["items"]] == ["a.txt"] and found["branch"].startswith("kaged/")
    assert (await ask(it, "GET", "/diff"))["items"] == []
    done = await ask(it, "POST", "/commits", 201, message="apart", paths=["a.txt"], session=session)
    assert git(root, "log", "-1", "--format=%s", done["commit"]) == "apart\n"
    assert git(root, "log", "-1", "--format=%s") == "first\n"
    await ask(it, "GET", "/files", 404, session="0" * 26)
