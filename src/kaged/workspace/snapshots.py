"""Snapshots of work trees, taken and restored by git in a cage of their own: never by git on the host. Each project has
one repository for them below the home, each of its work trees an index and a cage that stays for the next snapshot."""

import asyncio
import json
import os
import re
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from hashlib import sha256
from importlib import resources
from pathlib import Path
from typing import Any, Final, Self, TypeVar

import msgspec

from kaged.cage.cages import private_folder
from kaged.cage.client import KeeperClient
from kaged.cage.mounts import Mounts
from kaged.cage.plan import CagePlan, Mode, Mount, PlanLimits
from kaged.cage.ring import Ring
from kaged.core.errors import KagedError
from kaged.core.ids import new_ulid
from kaged.core.tasks import owned

PREFIX: Final = ".snap-"  # begins the id of a cage in which snapshots are taken
CAGES = 4  # cages that stay for the next snapshot; an older one is ended
LOOSE = 8000  # objects that are not packed yet; more of them are worth a packing
PACK_EVERY_S = 3600.0
LIMITS = PlanLimits(memory_bytes=None, pids=64, nofile=1024, fsize_bytes=4 * 1024**3, walltime_s=900.0)
_T = TypeVar("_T")


class Names(msgspec.Struct, frozen=True):
    """Paths for reading, and how many there are in all."""

    count: int
    names: list[str]


class Snapshot(msgspec.Struct, frozen=True):
    """A work tree as it was; `changed` files since another tree, `left_out` ones too large or closed."""

    tree: str
    changed: int
    left_out: Names
    loose: int


@dataclass(frozen=True, slots=True)
class Place:
    """A work tree of the project `slug`; `plan` is that of the cage whose agent works in it."""

    slug: str
    plan: CagePlan

    @property
    def key(self) -> str:
        return sha256(os.fsencode(self.plan.root)).hexdigest()[:16]


def kept(plan: CagePlan) -> list[str]:
    """Relative paths that neither a restore nor a merge changes: agents may not, or no snapshot sees them."""
    root = Path(plan.root)
    ruled = [Path(path) for path, mode in plan.rules if mode != "rw"]
    inside = [str(path.relative_to(root)) for path in ruled if path != root and path.is_relative_to(root)]
    return [*inside, *(pattern.removesuffix("/**") for pattern in plan.protect)]


def hidden(plan: CagePlan) -> list[str]:
    """Relative paths in the work tree that no cage of it shows."""
    ruled = [Path(path) for path, mode in plan.rules if mode == "hidden"]
    return [str(path.relative_to(plan.root)) for path in ruled if path.is_relative_to(plan.root)]


@cache
def script() -> str:
    texts = [resources.files("kaged").joinpath("inside", name).read_text("utf-8") for name in ("git.py", "review.py")]
    return re.sub("(?m)^from kaged.*$", "", "\n".join(texts))


async def drop_cages(keeper: KeeperClient, prefix: str) -> None:
    """End those that an earlier daemon left; nobody waits for them any more."""
    for cage in (await keeper.state()).cages:
        if cage.id[: len(prefix)] == prefix:
            await keeper.drop_cage(cage.id)


async def ask(
    keeper: KeeperClient, cage: str, plan: CagePlan, request: dict[str, Any], told: Callable[[Any], object] = bool
) -> Any:
    """The answer of our git in a cage, which is made if need be; `told` hears how far it is. KagedError: `conflict` for
    what it refuses, `unavailable` when it came to no end."""
    await keeper.ensure_cage(cage, plan)
    argv = [plan.host.python, "-I", "-S", "-c", script(), json.dumps(request)]
    process = await keeper.run(cage, f"{cage}-{new_ulid()}", argv)
    async with owned(_follow(process.stream, told)):
        end = await process.wait()
    _, data = process.stream.read(0, process.stream.head)
    await keeper.forget(process.id)
    try:
        answer = json.loads(data.rpartition(b"\n")[2])
    except ValueError:
        words = data.decode("utf-8", "replace").strip().rpartition("\n")[2][-300:]
        text = f"git did not come to an end ({end.reason or end.code or end.signal}): {words}"
        raise KagedError("unavailable", text) from None
    if "refused" in answer:
        raise KagedError("conflict", answer["refused"], answer["details"])
    return answer


async def _follow(stream: Ring, told: Callable[[Any], object]) -> None:
    """Hear each line before the last one, which is the answer."""
    head = 0
    while await stream.wait_past(head):
        head = stream.head
        whole, newline, _ = stream.read(0, head)[1].rpartition(b"\n")
        if newline:
            told(json.loads(whole.rpartition(b"\n")[2]))


class Snapshots:
    """All snapshots of this daemon, below `home`. An async context manager; what runs when it is left is ended by the
    next one, and may be asked for again."""

    def __init__(self, keeper: KeeperClient, home: Path) -> None:
        self._keeper, self._home = keeper, home
        self._locks: dict[str, asyncio.Lock] = {}
        self.progress: dict[str, dict[str, int]] = {}
        """Of a snapshot of many files, by project: how many are `done`, of how many in `total`."""
        self._cages: list[str] = []
        self._packed: dict[str, float] = {}
        self._tasks: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> Self:
        await drop_cages(self._keeper, PREFIX)
        return self

    async def __aexit__(self, *error: Any) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def begun(self, place: Place) -> bool:
        """Whether there is a first snapshot of the work tree, which stores every file; later ones only what changed."""
        return (self._home / place.slug / f"index-{place.key}").exists()

    async def take(self, place: Place, *, ignored: bool = False, since: str | None = None) -> Snapshot:
        """Store the work tree as it is, files that git ignores only if `ignored`."""
        return await self._ask(place, "snap", Snapshot, ignored, ignored=ignored, since=since)

    async def diff(self, place: Place, a: str, b: str) -> dict[str, Any]:
        """What is different in the tree `b`: the first `files` of `count` that differ (`path`, git's letter `status`,
        `added` and `deleted` lines, None in what is not text), and a `patch`; `cut` says that it goes on."""
        return await self._ask(place, "diff", dict[str, Any], a=a, b=b)

    async def ask(self, place: Place, op: str, **given: Any) -> Any:
        """`find` files; or review what is different from a `tree` by now: see `kaged.inside`."""
        return await self._ask(place, op, object, **given)

    async def look(
        self, place: Place, now: str, target: str, pairs: Sequence[tuple[str, str]], *, ignored: bool = False
    ) -> tuple[Names, Names]:
        """What going from `now` to `target` would overwrite of others' changes, which are those within any of the pairs
        of trees, and what is in its way."""
        given = {"now": now, "target": target, "keep": kept(place.plan)}
        return await self._ask(place, "look", tuple[Names, Names], ignored, pairs=pairs, **given)

    async def move(self, place: Place, now: str, target: str, *, ignored: bool = False) -> tuple[str, int]:
        """Make the work tree, whose last snapshot is `now`, be `target`, but for what is protected: the tree that gave,
        and how many files changed. KagedError conflict, and nothing is changed, when something is in the way."""
        given = {"now": now, "target": target, "keep": kept(place.plan)}
        return await self._ask(place, "move", tuple[str, int], ignored, **given)

    def pack(self, place: Place, trees: Sequence[str]) -> None:
        """Begin to pack the project's repository, once an hour at most; what is old and not in `trees` is dropped."""
        now = asyncio.get_running_loop().time()
        if now < self._packed.get(place.slug, -PACK_EVERY_S) + PACK_EVERY_S:
            return
        self._packed[place.slug] = now
        refs = "".join(f"{tree} refs/trees/{tree}\n" for tree in sorted(set(trees)))
        (private_folder(self._home / place.slug) / "packed-refs").write_text(
            f"# pack-refs with: sorted\n{refs}", encoding="ascii"
        )
        self._spawn(self._locked(place, "gc", False, {}))  # nothing depends on it; the next one does it

    async def _ask(self, place: Place, op: str, kind: type[_T], everything: bool = False, **given: Any) -> _T:
        # Whoever asks may be cancelled; git in its cage is not, so that nobody else touches the index meanwhile.
        return msgspec.convert(await asyncio.shield(self._spawn(self._locked(place, op, everything, given))), kind)

    def _spawn(self, work: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # whoever asked may be gone, or never was

    async def _locked(self, place: Place, op: str, everything: bool, given: dict[str, Any]) -> Any:
        cage, folder = f"{PREFIX}{place.key}", private_folder(self._home / place.slug)
        async with self._locks.setdefault(cage, asyncio.Lock()):
            await self._make_room(cage)
            index = f"index-{place.key}{'-all' * everything}"
            root, where, tree = place.plan.root, (str(folder), index), given.pop("tree", None)
            kind = (
                {"shadow": (root, *where)} if tree is None else {"review": (root, hidden(place.plan), (*where, tree))}
            )
            try:
                tell = partial(self.progress.__setitem__, place.slug)
                return await ask(self._keeper, cage, _plan(place, folder), {**kind, "op": op, **given}, tell)
            finally:
                self.progress.pop(place.slug, None)

    async def _make_room(self, cage: str) -> None:
        """End the cage that was used longest ago, if there are too many."""
        if cage in self._cages:
            self._cages.remove(cage)
        idle = [old for old in self._cages if not self._locks[old].locked()]
        self._cages.append(cage)
        if len(self._cages) > CAGES and idle:
            self._cages.remove(idle[0])
            await self._keeper.drop_cage(idle[0])


def _plan(place: Place, folder: Path) -> CagePlan:
    """A cage with the work tree, without what is hidden in it, and the repository."""
    root, plan = Path(place.plan.root), place.plan
    hidden = [Path(path) for path, mode in plan.rules if mode == "hidden" and os.path.lexists(path)]
    rules: dict[Path, Mode] = {root: "rw", **dict.fromkeys(hidden, "hidden")}
    mounts = Mounts(root, rules)
    for path in hidden:
        mounts.add_rule(path, "hidden", "cage.fs")
    return replace(
        plan, rules=tuple((str(path), mode) for path, mode in (rules | {folder: "rw"}).items()), protect=(), env=(),
        mounts=(Mount("rw", str(root)), Mount("rw", str(folder)), *mounts.ordered()), seccomp="default", limits=LIMITS,
        workdir=str(root), net=None, toolchains=(), lent=(), keeps="ephemeral", home_dir=None,
    )  # fmt: skip
