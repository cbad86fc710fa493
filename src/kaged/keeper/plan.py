"""The cage plan as the daemon sends it, checked before anything is started from it."""

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import UnionType
from typing import Any, get_args, get_origin

from kaged.core.keeper_wire import KeeperError

USUAL_PORTS = (22, 80, 443, 8080, 8443)  # what programs try first: they get an answer there, rule or not
_PLAN = {
    "hash": str, "args": list[str | dict[str, str]], "data": dict[str, str], "init": list[str], "env": dict[str, str],
    "workdir": str, "limits": dict, "placeholders": list[str], "guards": list[str] | None, "net": dict | None,
    "home": str | None,
}  # fmt: skip
_RULES = ("allow", "http", "secrets")


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a cage; None means unbounded. Memory and processes count for the cage as a whole."""

    memory_bytes: int | None = None
    pids: int | None = None
    nofile: int | None = None
    fsize_bytes: int | None = None
    walltime_s: float | None = None
    cpu: float | None = None  # processors' worth of time; held by control groups only
    disk_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Net:
    """What a cage may reach: `policy` is the gate's to read, the rest follows from it."""

    policy: Mapping[str, Any]
    ports: tuple[int, ...]  # every port it names, and the usual ones
    intercepts: bool  # whether some host's TLS is opened, with an authority of the cage's own


@dataclass(frozen=True, slots=True)
class Plan:
    hash: str
    args: Sequence[str | dict[str, str]]  # of bwrap; `{"data": name}` becomes a memory file that holds `data[name]`
    data: Mapping[str, bytes]
    init: Sequence[str]
    env: Mapping[str, str]
    workdir: str
    limits: Limits
    placeholders: Sequence[str]  # empty mount points that bwrap makes; removed when no cage needs them any more
    guards: Sequence[str]  # mount points without which the cage must not go on
    net: Net | None  # None: no network at all
    home: str | None  # the folder of a home that is kept: `limits.disk_bytes` is for it

    def paths(self) -> frozenset[str]:
        """Every absolute path among the arguments: what this cage's mounts may rest on."""
        return frozenset(arg for arg in self.args if isinstance(arg, str) and arg[:1] == "/")


def parse(raw: object) -> Plan:
    """Read a plan; raises `KeeperError` naming the key that does not fit."""
    plan = check(raw, _PLAN, "plan.")
    limits = check(plan["limits"], Limits.__annotations__, "plan.limits.")
    for key in Limits.__annotations__:
        require(limits.get(key) is None or limits[key] > 0, f"`plan.limits.{key}` must be positive")
    require(bool(plan["init"]), "`plan.init` is empty")
    require(not any("\0" in arg for arg in plan["args"]), "`plan.args` holds a zero byte")
    absolute = all(path[:1] == "/" and path.strip("/") for path in plan["placeholders"])
    require(absolute, "`plan.placeholders` must hold absolute paths")
    clean(plan["env"])
    try:
        data = {name: base64.b64decode(text, validate=True) for name, text in plan["data"].items()}
    except binascii.Error as error:
        raise KeeperError("bad_request", f"`plan.data` is not base64: {error}") from error
    made = {"data": data, "guards": plan.get("guards") or [], "net": _net(plan.get("net"))}
    made["limits"] = Limits(*map(limits.get, Limits.__annotations__))
    return Plan(**{key: plan.get(key) for key in _PLAN} | made)


def _net(policy: dict[str, Any] | None) -> Net | None:
    if policy is None:
        return None
    check(policy, dict.fromkeys(_RULES, list[dict[str, Any]] | None), "plan.net.")
    entries = [entry for key in _RULES for entry in policy.get(key) or ()]
    ports = {check(entry, {"port": int}, "plan.net.")["port"] for entry in entries}
    require(all(1 <= port <= 65535 for port in ports), "`plan.net` names a port that does not exist")
    return Net(policy, tuple(sorted(ports.union(USUAL_PORTS))), bool(policy.get("http") or policy.get("secrets")))


def check(fields: object, shape: Mapping[str, Any], at: str = "") -> dict[str, Any]:
    """The fields, if the value of each key in `shape` has its type; raises `KeeperError` naming the key."""
    if not isinstance(fields, dict):
        raise KeeperError("bad_request", f"`{at[:-1]}` must be dict")
    for key, kind in shape.items():
        if not _fitting(kind)(fields.get(key)):
            name = kind.__name__ if isinstance(kind, type) else kind
            raise KeeperError("bad_request", f"`{at}{key}` must be {name}")
    return fields


@cache
def _fitting(kind: Any) -> Callable[[Any], bool]:
    """Whether a value out of JSON has a type, written as in annotations; a whole number is a float, too."""
    origin, parts = get_origin(kind), get_args(kind)
    if isinstance(kind, UnionType):
        kinds = [_fitting(part) for part in parts]
        return lambda value: any(fits(value) for fits in kinds)
    if origin in (list, dict):
        inner = _fitting(parts[-1])
        every = dict.values if origin is dict else iter
        return lambda value: isinstance(value, origin) and all(map(inner, every(value)))
    if kind in (bool, Any):
        return lambda value: kind is Any or isinstance(value, bool)
    plain = int | float if kind is float else kind
    return lambda value: isinstance(value, plain) and not isinstance(value, bool)


def require(fits: bool, sentence: str) -> None:
    if not fits:
        raise KeeperError("bad_request", sentence)


def clean(env: Mapping[str, str]) -> None:
    """What only the daemon may know (`KAGED_…`) is refused."""
    for name in env:
        require(name[:6].upper() != "KAGED_", f"the environment holds {name}, which no process may be given")
