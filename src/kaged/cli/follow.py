"""Follow a session: read its events by number, print them, put its questions to whoever sits here."""

import json
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

import click

from kaged.cli import output
from kaged.cli.client import Api, part
from kaged.cli.transcript import Transcript
from kaged.core.errors import KagedError

WAIT_S = 20
PAGE = 500
RETRY_S = 0.5  # Between two tries while the daemon is away


class Follower:
    def __init__(self, api: Api, project: str, session: Mapping[str, Any], *, as_json: bool) -> None:
        self.id, self.head = str(session["id"]), int(session["head"])
        self.hint = f"follow it with: kaged session tail {project} {self.id[-6:]}"
        self._api = api
        self._base = f"/projects/{part(project)}/sessions/{part(self.id)}"
        self._as_json = as_json
        self._short = f"{project} --session {self.id[-6:]}"
        answer, resume = (f"kaged session {verb} {self._short}" for verb in ("answer", "resume"))
        self._transcript = Transcript(answer=f'{answer} "..."', resume=resume)

    def get(self, what: str) -> Any:
        return self._api.get(f"{self._base}/{what}")

    def post(self, what: str, body: Mapping[str, object]) -> Any:
        return self._api.post(f"{self._base}/{what}", body)

    def events(self, after: int) -> Iterator[dict[str, Any]]:
        """The events after `after` that there are now."""
        while page := self._page(after, wait=0):
            yield from page
            after = page[-1]["seq"]

    def show(self, after: int, *, follow: bool) -> None:
        for frame in self._endless(after) if follow else self.events(after):
            self._show(frame)

    def until_end(self, after: int, run_id: str | None, message_id: str = "") -> bool:
        """Print until the run `run_id`, or the one that the message is given to, has ended; whether it succeeded."""
        try:
            for frame in self._endless(after):
                self._show(frame)
                kind, data = frame["type"], frame["data"]
                if run_id is None and data.get("message_id") == message_id and "run_id" in data:
                    run_id = data["run_id"]
                if kind == "attention.required" and data.get("run_id") == run_id:
                    self._ask(data)
                over = kind == "run.ended" or (kind == "run.interrupted" and not data.get("goes_on"))
                if over and data.get("run_id") == run_id:
                    return bool(data.get("outcome") == "success")
        except KeyboardInterrupt:
            click.echo(f"\nThe run goes on. Stop it with: kaged session interrupt {self._short}", err=True)
            raise
        return False

    def _endless(self, after: int) -> Iterator[dict[str, Any]]:
        """Events for ever; while the daemon is away (a restart, an upgrade) it is waited for."""
        away = False
        while True:
            try:
                page = self._page(after, wait=WAIT_S)
            except KagedError as error:
                if error.code != "unavailable":
                    raise
                if not away:
                    output.line(f"! {error.message}; waiting for it", err=True)
                away = True
                time.sleep(RETRY_S)
                continue
            away = False
            for frame in page:
                yield frame
                after = frame["seq"]

    def _page(self, after: int, *, wait: int) -> list[dict[str, Any]]:
        query = {"after": after, "limit": PAGE, "wait": wait or None}
        events: list[dict[str, Any]] = self._api.get(f"{self._base}/events", timeout_s=WAIT_S + 40, **query)["items"]
        return events

    def _show(self, frame: dict[str, Any]) -> None:
        if self._as_json:
            click.echo(json.dumps(frame, ensure_ascii=False))
        else:
            self._transcript.show(frame)

    def _ask(self, data: dict[str, Any]) -> None:
        """Ask the person here, if there is one; the question may be answered elsewhere meanwhile."""
        if self._as_json or not sys.stdin.isatty():
            return
        text = chosen(data, click.prompt("answer", prompt_suffix="> "))
        try:
            self.post(f"attention/{part(data['attention_id'])}", {"answer": text})
        except KagedError as error:
            output.line(f"! {error.message}", err=True)


def chosen(question: Mapping[str, Any], text: str) -> str:
    """What `text` says: of an approval the option with that number, else the text itself."""
    options = question["options"] if question["kind"] == "approval_gate" else ()
    return next((option for number, option in enumerate(options, 1) if text.strip() == str(number)), text)
