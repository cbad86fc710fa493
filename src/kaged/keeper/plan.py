"""The cage plan as the daemon sends it, checked before anything is started from it."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from kaged.core.keeper_wire import KeeperError

T = TypeVar("T")

USUAL_PORTS = (22, 80, 443, 8080, 8443)
"""What programs try first: they get an answer there even when no rule names the port."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a cage; None means unbounded. Memory and processes count for the cage as a whole."""

    memory_bytes: int | None
    pids: int | None
    nofile: int | None
    fsize_bytes: int | None
    walltime_s: float | None
    cpu: float | None
    """Processors' worth of time; held by control groups only."""
    disk_bytes: int | None


@dataclass(frozen=True, slots=True)
class Net:
    """What a cage may reach: `policy` is the gate's to read, the rest follows from it."""

    policy: Mapping[str, Any]
    ports: tuple[int, ...]
    """Every port it names, and the usual ones."""
    intercepts: bool
    """Whether some host's TLS is opened, with an authority of the cage's own."""


@dataclass(frozen=True, slots=True)
class DataArg:
    """An argument that becomes the number of a memory file holding `data[name]`."""

    name: str


@dataclass(frozen=True, slots=True)
class Plan:
    """One cage, ready to be started."""

    hash: str
    args: tuple[str | DataArg, ...]
    data: Mapping[str, bytes]
    init: tuple[str, ...]
    env: Mapping[str, str]
    workdir: str
    limits: Limits
    placeholders: tuple[str, ...]
    """Empty mount points that bwrap makes in the project; removed when no cage needs them any more."""
    guards: tuple[str, ...]
    """Mount points without which the cage must not go on."""
    net: Net | None
    """None: no network at all."""

    def paths(self) -> frozenset[str]:
        """Every absolute path among the arguments: what this cage's mounts may rest on."""
        return frozenset(arg for arg in self.args if isinstance(arg, str) and arg[:1] == "/")


def parse(raw: object) -> Plan:
    """Read a plan; raises `KeeperError` naming the key that does not fit."""
    plan = expect(raw, dict, "plan")
    limits = expect(plan.get("limits"), dict, "plan.limits")
    return Plan(
        hash=expect(plan.get("hash"), str, "plan.hash"),
        args=tuple(_argument(arg) for arg in expect(plan.get("args"), list, "plan.args")),
        data={name: _data(name, text) for name, text in expect(plan.get("data"), dict, "plan.data").items()},
        init=_command(plan.get("init")),
        env=environment(plan.get("env"), "plan.env"),
        workdir=expect(plan.get("workdir"), str, "plan.workdir"),
        limits=Limits(
            memory_bytes=count(limits, "memory_bytes"),
            pids=count(limits, "pids"),
            nofile=count(limits, "nofile"),
            fsize_bytes=count(limits, "fsize_bytes"),
            walltime_s=amount(limits.get("walltime_s"), "plan.limits.walltime_s"),
            cpu=amount(limits.get("cpu"), "plan.limits.cpu"),
            disk_bytes=count(limits, "disk_bytes"),
        ),
        placeholders=_paths(plan.get("placeholders"), "plan.placeholders"),
        guards=strings(plan.get("guards", []), "plan.guards"),
        net=_net(plan.get("net")),
    )


def _net(value: object) -> Net | None:
    if value is None:
        return None
    policy = expect(value, dict, "plan.net")
    ports = set(USUAL_PORTS)
    for key in ("allow", "http", "secrets"):
        for entry in expect(policy.get(key, []), list, f"plan.net.{key}"):
            port = expect(expect(entry, dict, f"plan.net.{key}").get("port"), int, f"plan.net.{key}.port")
            if not 1 <= port <= 65535:
                raise KeeperError("bad_request", f"`plan.net.{key}` names port {port}, which there is not")
            ports.add(port)
    return Net(policy, tuple(sorted(ports)), bool(policy.get("http") or policy.get("secrets")))


def expect(value: object, kind: type[T], key: str) -> T:
    """The value, if it is of that type; raises `KeeperError` naming the key otherwise."""
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise KeeperError("bad_request", f"`{key}` must be {kind.__name__}, not {type(value).__name__}")
    return value


def strings(value: object, key: str) -> tuple[str, ...]:
    """A list of strings."""
    return tuple(expect(item, str, key) for item in expect(value, list, key))


def texts(value: object, key: str) -> dict[str, str]:
    """Names and values."""
    return {str(name): expect(text, str, key) for name, text in expect(value, dict, key).items()}


def environment(value: object, key: str) -> dict[str, str]:
    """Names and values; what only the daemon may know (`KAGED_…`) is refused."""
    env = texts(value, key)
    for name in env:
        if name[:6].upper() == "KAGED_":
            raise KeeperError("bad_request", f"`{key}` holds {name}, which no process may be given")
    return env


def count(limits: Mapping[str, Any], key: str) -> int | None:
    """A positive whole number, or None for no limit."""
    value = limits.get(key)
    if value is None:
        return None
    if expect(value, int, f"plan.limits.{key}") <= 0:
        raise KeeperError("bad_request", f"`plan.limits.{key}` must be positive")
    return int(value)


def amount(value: object, key: str) -> float | None:
    """A positive number (of seconds, of processors), or None for no limit."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise KeeperError("bad_request", f"`{key}` must be a positive number")
    return float(value)


def _command(value: object) -> tuple[str, ...]:
    words = strings(value, "plan.init")
    if not words:
        raise KeeperError("bad_request", "`plan.init` is empty")
    return words


def _paths(value: object, key: str) -> tuple[str, ...]:
    paths = strings(value, key)
    if any(path[:1] != "/" or not path.strip("/") for path in paths):
        raise KeeperError("bad_request", f"`{key}` must hold absolute paths")
    return paths


def _argument(arg: object) -> str | DataArg:
    if isinstance(arg, dict):
        return DataArg(expect(arg.get("data"), str, "plan.args.data"))
    text = expect(arg, str, "plan.args")
    if "\0" in text:
        raise KeeperError("bad_request", "`plan.args` holds a zero byte")
    return text


def _data(name: str, text: object) -> bytes:
    try:
        return base64.b64decode(expect(text, str, f"plan.data.{name}"), validate=True)
    except binascii.Error as error:
        raise KeeperError("bad_request", f"`plan.data.{name}` is not base64: {error}") from error
