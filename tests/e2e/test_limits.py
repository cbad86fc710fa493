"""Limits, in a whole installation in system mode: two people, each with their own places, and the trees below them."""

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from e2e.harness import Daemon, end_keeper, wait_event
from e2e.talk import check_error

pytestmark = [pytest.mark.cage, pytest.mark.timeout(120)]
NONCE = secrets.token_hex(32)
ALICE, BOB = "alice@example.com", "bob|1234"
SUB = "{model: offline, system_prompt: project:/prompt.md, budget: {tokens: 90000}}"
PROJECT = f"""\
version: 1
project: bread
primary:
  model: offline
  system_prompt: project:/prompt.md
  subagents: {{helper: {SUB}}}
"""
CONFIG = """\
[daemon]
home = "{base}/d/kaged"
[auth]
admins = ["alice@example.com"]
[projects]
roots = ["{base}/projects"]
[limits]
runs = 4
runs_per_user = 2
delegates = 2
"""
HOLD = "until [ -e go ]; do sleep 0.05; done"


@pytest.fixture
def kaged(short_tmp: Path) -> Iterator[Daemon]:
    """A daemon in system mode with a project that Bob may edit."""
    folder = short_tmp / "projects" / "bread"
    (folder / ".kaged").mkdir(parents=True)
    (folder / ".kaged" / "project.yaml").write_text(PROJECT)
    (folder / "prompt.md").write_text("Be useful.\n")
    config = short_tmp / "config.toml"
    config.write_text(CONFIG.replace("{base}", str(short_tmp)))
    extra = {"KAGED_AUTH_SIDECAR_NONCE": NONCE, "RUNTIME_DIRECTORY": str(short_tmp / "r" / "kaged")}
    it = Daemon(short_tmp, extra=extra, flags=("--mode=system", f"--config={config}"))
    try:
        it.start()
        assert Person(it, BOB).call("GET", "/me").status_code == 200, "seen once, so that he can be made a member"
        with it.api() as api:
            loaded = api.post("/api/v1/projects/load", json={"path": str(folder), "trust": True})
            assert loaded.status_code == 201, loaded.text
            api.put("/api/v1/projects/bread/members", json={"user": BOB, "role": "editor"}).raise_for_status()
        yield it
    finally:
        if it.process is not None:
            it.stop()
        end_keeper(it)


class Person:
    """Somebody behind the sidecar."""

    def __init__(self, it: Daemon, user: str) -> None:
        with it.api() as api:
            self.door = api.get("/api/v1/system").json()["daemon"]["bind"]
        self.given = {"X-Kaged-Auth-Nonce": NONCE, "X-Kaged-User-Id": user, "Sec-Fetch-Site": "same-origin"}

    def call(self, method: str, path: str, body: Any = None) -> httpx2.Response:
        with httpx2.Client(base_url=self.door, headers=self.given, timeout=30) as http:
            return http.request(method, f"/api/v1{path}", json=body)

    def session(self) -> str:
        return str(self.call("POST", "/projects/bread/sessions", {}).json()["id"])

    def say(self, text: str, session: str = "") -> tuple[str, dict[str, Any]]:
        """A message to a new session; its id, and what became of it."""
        session = session or self.session()
        answer = self.call("POST", f"/projects/bread/sessions/{session}/messages", {"text": text})
        assert answer.status_code == 202, answer.text
        return session, answer.json()

    def queue(self) -> dict[str, Any]:
        return dict(self.call("GET", "/system/queue").json())


def test_each_has_their_own_places_and_all_share_those_of_the_machine(kaged: Daemon) -> None:
    alice, bob = Person(kaged, ALICE), Person(kaged, BOB)
    hers = [alice.say(f"run: {HOLD}")[0] for _ in range(2)]
    third, sent = alice.say("say: hi")
    assert (sent["state"], sent["reason"]) == ("queued", "you have 2 of 2 runs going")
    (row,) = alice.queue()["items"]
    full = {"limit": "runs_per_user", "now": 2, "most": 2, "person": ALICE}
    assert (row["id"], row["reason"]) == (third, full | {"words": "you have 2 of 2 runs going"})
    assert bob.queue()["items"][0]["reason"] == full | {"words": f"{ALICE} has 2 of 2 runs going"}
    assert (bob.queue()["at_work"], bob.queue()["mine"]) == (2, 0)
    his, sent = bob.say("\n".join([f"delegate helper: run: {HOLD}"] * 3))
    assert sent["state"] == "started", "hers are not his"
    with kaged.api() as api:
        first = wait_event(api, "bread", his, "agent.spawned")
        wait_event(api, "bread", his, "agent.spawned", after=first["seq"])
    assert (bob.queue()["at_work"], bob.queue()["mine"]) == (4, 2), "an agent that waits for two counts as those two"
    waits, sent = bob.say("say: mine")
    assert (sent["state"], sent["reason"]) == ("queued", "you have 2 of 2 runs going")
    refused = bob.call("POST", f"/projects/bread/sessions/{waits}/resume", {})
    assert "as many as `[limits] runs_per_user` allows" in check_error(refused, 409, "conflict")
    (kaged.base / "projects" / "bread" / "go").touch()
    with kaged.api() as api:
        for session in (*hers, his, third, waits):
            assert wait_event(api, "bread", session, "run.ended")["data"]["outcome"] == "success"
    assert alice.queue()["items"] == []


def test_in_user_mode_there_is_one_person(short_tmp: Path) -> None:
    folder = short_tmp / "c" / "kaged"
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text("[limits]\nruns_per_user = 1\n")
    it = Daemon(short_tmp)
    try:
        it.start()
        said = it.cli("session", "send", "sample", f"run: {HOLD}")
        assert said.returncode == 0, said.stderr
        said = it.cli("session", "send", "sample", "say: hi")
        assert "it waits for its turn (you have 1 of 1 runs going); session" in said.stdout, said.stderr
        with it.api() as api:
            assert api.get("/api/v1/system/queue").json()["items"][0]["reason"]["person"] == "local"
            limits = api.get("/api/v1/system/queue").json()["limits"]
        assert limits == {"runs": 64, "per_project": 16, "per_user": 1}
    finally:
        it.stop()
        end_keeper(it)
