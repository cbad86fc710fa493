"""`shell` in a real cage: output, ends, limits, background jobs, rejoining."""

import asyncio
import re

import pytest

from kaged.tools import command
from tools.bench import Bench

pytestmark = pytest.mark.cage


async def test_output_and_status(bench: Bench) -> None:
    result = await bench.run("shell", command="echo out; echo err >&2; exit 3")
    assert (result.ok, result.output) == (False, "out\nerr\n[Exit status 3.]")
    assert result.detail["exit_code"] == 3
    assert bench.live == "out\nerr\n"


async def test_silence(bench: Bench) -> None:
    assert (await bench.run("shell", command="true")).output == "(no output)\n[Exit status 0.]"


async def test_a_signal_is_named(bench: Bench) -> None:
    result = await bench.run("shell", command="kill -TERM $$")
    assert "[Ended by signal 15 (SIGTERM).]" in result.output
    assert result.detail["signal"] == 15


async def test_it_is_bash_and_starts_in_the_project(bench: Bench) -> None:
    result = await bench.run("shell", command="[[ abc == a* ]] && pwd")
    assert result.output == f"{bench.root}\n[Exit status 0.]"


async def test_the_time_limit_takes_the_whole_tree(bench: Bench) -> None:
    result = await bench.run("shell", command="(setsid sleep 300 &); echo up; sleep 300", timeout_s=2)
    assert not result.ok
    assert result.output.startswith("up\n[Ended after 2 s, its time limit")
    assert result.detail["reason"] == "walltime"
    assert (await bench.run("shell", command="pgrep -r R,S,D -c sleep")).output.startswith("0\n")


async def test_what_stays_in_the_background_is_not_waited_for(bench: Bench) -> None:
    result = await bench.run("shell", command="sleep 300 & echo up", timeout_s=60)
    assert result.output == "up\n[Exit status 0.]"


async def test_long_output_is_cut_in_the_middle_and_kept_whole_in_a_file(bench: Bench) -> None:
    result = await bench.run("shell", command="seq 1 100000", ctx=bench.context("long", limit=2000))
    assert len(result.output) < 2600
    assert result.output.startswith("1\n2\n3\n")
    assert "99999\n100000\n" in result.output
    assert re.search(r"\[… 573\.\d KiB of 575\.\d KiB left out here …\]", result.output), result.output
    assert "The whole output is in /tmp/kaged-output/long.log (in the cage)." in result.output
    size = int(re.findall(r"^\d+", (await bench.run("shell", command="wc -c < /tmp/kaged-output/long.log")).output)[0])
    assert size == len("".join(f"{n}\n" for n in range(1, 100001)))
    assert result.detail["output_file"] == "/tmp/kaged-output/long.log"
    assert size - 2100 < result.detail["truncated_bytes"] < size


async def test_live_output_is_bounded_and_says_so(bench: Bench) -> None:
    await bench.run("shell", command="seq 1 100000")
    assert len(bench.live) < command.LIVE_BYTES + 200
    assert bench.live.endswith("the rest is shown when the command has ended\n")
    ends = [end for _, _, end in bench.emitted]
    assert ends == sorted(ends)


async def test_a_flood_is_counted_but_not_journalled(bench: Bench) -> None:
    result = await bench.run("shell", command="yes flood | head -c 20000000")
    assert result.detail["bytes"] == 20_000_000
    assert len(bench.live) < command.LIVE_BYTES + 200
    assert "The last 8.0 MiB of the output are in" in result.output


async def test_characters_cut_between_reads_stay_whole(bench: Bench) -> None:
    script = r"printf 'a\xe2'; sleep 0.1; printf '\x82'; sleep 0.1; printf '\xacb'; printf '\xff'"
    result = await bench.run("shell", command=script)
    assert result.output.startswith("a€b�")
    assert bench.live == "a€b�"
    offset = 0
    for text, begin, end in bench.emitted:
        assert begin == offset, (text, begin, end)
        offset = end


async def test_colours_are_for_people_not_for_the_model(bench: Bench) -> None:
    result = await bench.run("shell", command=r"printf '\033[31mred\033[0m\n'")
    assert result.output.startswith("red\n")
    assert "\x1b[31m" in bench.live


async def test_refusals_of_the_cage_are_explained(bench: Bench) -> None:
    result = await bench.run("shell", command="echo x >> .kaged/project.yaml")
    assert not result.ok
    assert "cage: `.kaged/project.yaml` is protected: the cage mounts it read-only" in result.output
    assert result.detail["denied"]
    result = await bench.run("shell", command="cat /root/.ssh/id_rsa")
    assert "cage: `/root/.ssh/id_rsa` does not exist in this cage" in result.output
    result = await bench.run("shell", command="exec 3<>/dev/tcp/192.0.2.1/443")
    assert "cage: This cage has no network" in result.output


async def test_a_background_job_is_read_on_fed_and_killed(bench: Bench) -> None:
    started = await bench.run("shell", command="echo up; while read line; do echo got $line; done", background=True)
    job = started.detail["job"]
    assert started.ok
    assert started.output.startswith("up\n[Running in the background as job")
    fed = await bench.run("shell", job=job, input="one\n", timeout_s=10)
    assert fed.output == "got one\n[Still running.]"
    quiet = await bench.run("shell", job=job)
    assert quiet.output == "(no new output)\n[Still running.]"
    killed = await bench.run("shell", job=job, kill=True)
    assert "It was stopped from outside" in killed.output or "signal 9" in killed.output
    gone = await bench.run("shell", job=job)
    assert (gone.ok, gone.detail["reason"]) == (False, "not_found")
    assert "There is no job" in gone.output


async def test_a_background_job_that_fails_at_once_says_so_at_once(bench: Bench) -> None:
    result = await bench.run("shell", command="echo broken; exit 2", background=True)
    assert (result.ok, result.output) == (False, "broken\n[Exit status 2.]")


async def test_waiting_for_a_job_ends_with_its_news(bench: Bench) -> None:
    started = await bench.run("shell", command="until [ -e go ]; do sleep 0.02; done; echo went", background=True)
    waiting = asyncio.create_task(bench.run("shell", job=started.detail["job"], timeout_s=60))
    (bench.root / "go").touch()
    result = await waiting
    assert result.output.startswith("went\n")


async def test_a_job_of_another_cage_is_none_of_ours(bench: Bench) -> None:
    await bench.cage.client.ensure_cage("other", bench.cage.plan)
    await bench.cage.client.run("other", "theirs", ["sleep", "300"])
    assert "There is no job theirs" in (await bench.run("shell", job="theirs")).output


async def test_cancelling_detaches_and_rejoining_goes_on(bench: Bench) -> None:
    script = "echo one; until [ -e go ]; do sleep 0.02; done; echo two"
    ctx = bench.context("c1")
    task = asyncio.create_task(bench.run("shell", ctx=ctx, command=script))
    while not bench.emitted:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await bench.cage.client.state()).processes[0].running
    (bench.root / "go").touch()
    again = bench.context("c1", resume_at=bench.emitted[-1][2])
    result = await bench.rejoin("shell", again, command=script)
    assert result is not None
    assert result.output == "one\ntwo\n[Exit status 0.]"
    assert bench.live == "one\ntwo\n"


async def test_nothing_to_rejoin(bench: Bench) -> None:
    assert await bench.rejoin("shell", bench.context("never"), command="echo x") is None
    assert await bench.rejoin("shell", bench.context("never"), job="j", input="x") is None


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({}, "give either `command` or `job`"),
        ({"command": "x", "job": "y"}, "give either `command` or `job`"),
        ({"command": "x", "kill": True}, "`input` and `kill` go with `job`"),
        ({"job": "x", "background": True}, "`background` goes with `command`"),
        ({"command": "a\0b"}, "a command holds no NUL"),
        ({"command": 7}, "`command`: input should be a valid string"),
        ({"command": "x", "cmd": "y"}, "there is no argument `cmd`"),
        ({"command": "x", "timeout_s": -1}, "`timeout_s`: input should be greater than 0"),
    ],
)
async def test_bad_arguments_are_named(bench: Bench, args: dict[str, object], words: str) -> None:
    result = await bench.run("shell", **args)
    assert not result.ok
    assert words in result.output
    assert result.output.endswith("Nothing was done.")
    assert not (await bench.cage.client.state()).processes


async def test_a_lost_cage_is_said_plainly(bench: Bench) -> None:
    task = asyncio.create_task(bench.run("shell", command="echo up; sleep 300"))
    while not bench.emitted:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    await bench.cage.client.drop_cage("cage")
    result = await task
    assert not result.ok
    assert "stopped from outside" in result.output or "The cage ended" in result.output
    refused = await bench.run("shell", command="echo x")
    assert not refused.ok
    assert "cage" in refused.output
