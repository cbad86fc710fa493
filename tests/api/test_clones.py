"""Clones over the API: who may, what is refused at once, and what a clone that failed says."""

import asyncio
from pathlib import Path

import pytest

from api.served import served
from sessions.house import House

CLONE, URL = "/api/v1/projects/clone", "https://git.invalid/shop.git"


async def test_refusals_are_sentences(house: House, short_tmp: Path) -> None:
    async with served(house, short_tmp) as it:

        async def refused(user: str, url: str) -> tuple[int, str]:
            answer = await it.call(user, "POST", CLONE, json={"url": url})
            return answer.status_code, answer.json()["error"]["message"]

        assert (await refused("bob", URL))[0] == 403
        status, words = await refused("alice", "https://alice:hush-hush@git.example.com/shop.git")
        assert status == 400
        assert words.endswith('put credentials into `[git."git.example.com"]` in local.toml.') and "hush" not in words
        status, words = await refused("alice", "git@git.example.com:shop.git")
        assert (status, words.partition(": ")[2]) == (
            400,
            'ssh needs a deploy key: name its file as ssh_key in `[git."git.example.com"]` in local.toml.',
        )
        local = it.services.local.path
        local.parent.mkdir(parents=True, exist_ok=True)
        local.write_text('[git."git.example.com"]\nssh_key = "nowhere"\n')
        status, words = await refused("alice", "git@git.example.com:shop.git")
        assert (status, words) == (
            400,
            f"{local.parent}/nowhere cannot be read (No such file or directory): make it a file that kaged's account "
            "can read.",
        )


@pytest.mark.cage
async def test_one_that_failed_and_one_that_was_cancelled(house: House, short_tmp: Path) -> None:
    async with served(house, short_tmp) as it:
        made = (await it.call("alice", "POST", CLONE, json={"url": URL})).json()
        if (task := it.services.clones.get(made["id"]).task) is not None:
            await asyncio.wait({task})
        now = (await it.call("alice", "GET", f"/api/v1/clones/{made['id']}")).json()
        assert now["state"] == "failed"
        why = "there is no host git.invalid; check the name and this machine's DNS."
        assert now["problem"] == f"Could not clone {URL}: {why}"
        made = (await it.call("alice", "POST", CLONE, json={"url": URL})).json()
        assert (await it.call("alice", "DELETE", f"/api/v1/clones/{made['id']}")).status_code == 204
        now = (await it.call("alice", "GET", f"/api/v1/clones/{made['id']}")).json()
        assert (now["state"], now["problem"]) == (
            "cancelled",
            f"The clone of {URL} was cancelled; nothing of it is left.",
        )
