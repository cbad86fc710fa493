"""One session of a running daemon, talked to over the control socket."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx2

from e2e.harness import Daemon

Frame = dict[str, Any]


def folded(events: list[Frame]) -> list[Frame]:
    """The same after the text of finished messages was folded, which happens at some moment after a run."""
    gone = {"text": "", "folded": True}
    return [{**e, "data": {**e["data"], **gone}} if e["type"] == "message.delta" else e for e in events]


@dataclass(frozen=True)
class Talk:
    """A session."""

    api: httpx2.AsyncClient
    project: str
    sid: str

    @property
    def route(self) -> str:
        """Where the session is."""
        return f"/api/v1/projects/{self.project}/sessions/{self.sid}"

    async def post(self, more: str, body: Any) -> Any:
        """POST that must be accepted."""
        answer = await self.api.post(self.route + more, json=body)
        assert answer.status_code < 300, answer.text
        return answer.json()

    async def get(self, more: str = "") -> Any:
        """GET that must be answered."""
        answer = await self.api.get(self.route + more)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def say(self, text: str) -> str:
        """Send a message; the run's id."""
        return str((await self.post("/messages", {"text": text}))["run_id"])

    async def head(self) -> int:
        """The last event's number."""
        return int((await self.get())["head"])

    async def until(self, kind: str, after: int = 0) -> Frame:
        """The first event of this kind after `after`, waiting for it."""
        while True:
            page = await self.get(f"/events?after={after}&wait=20&limit=1000")
            for item in page["items"]:
                if item["type"] == kind:
                    return dict(item)
            after = page["next"]

    async def events(self, after: int = 0) -> list[Frame]:
        """Everything after `after`."""
        found: list[Frame] = []
        while page := (await self.get(f"/events?after={after}&limit=1000"))["items"]:
            found += page
            after = page[-1]["seq"]
        return found

    async def run(self, text: str) -> list[Frame]:
        """Send a message and wait for the run's end; the events of it."""
        before = await self.head()
        await self.say(text)
        await self.until("run.ended", before)
        return await self.events(before)


@contextlib.asynccontextmanager
async def control(it: Daemon) -> AsyncIterator[httpx2.AsyncClient]:
    """A client on the control socket."""
    transport = httpx2.AsyncHTTPTransport(uds=str(it.runtime / "control.sock"), verify=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1", timeout=60) as api:
        yield api


@contextlib.asynccontextmanager
async def talk(it: Daemon, project: str = "sample") -> AsyncIterator[Talk]:
    """A new session of a project."""
    async with control(it) as api:
        answer = await api.post(f"/api/v1/projects/{project}/sessions", json={"title": "test"})
        assert answer.status_code == 201, answer.text
        yield Talk(api, project, answer.json()["id"])


def of(events: list[Frame], kind: str) -> list[dict[str, Any]]:
    """The data of all events of a kind."""
    return [event["data"] for event in events if event["type"] == kind]


def check_error(answer: httpx2.Response, status: int, code: str) -> str:
    """The one error shape; the sentence."""
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert set(error) <= {"code", "message", "details"}
    assert error["code"] == code
    message = str(error["message"])
    assert " " in message, "a sentence"
    return message
