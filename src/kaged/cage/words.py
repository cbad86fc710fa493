"""A plan in words for the operator: pure."""

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from kaged.cage.network import NetPlan
from kaged.cage.plan import CagePlan
from kaged.projects.cage_spec import HTTPS, split

_MOST = 3
_KEPT = {
    "ephemeral": "emptied with the cage",
    "session": "kept until the session is deleted",
    "project": "kept, and the same for all sessions of the project",
}


def summary(plan: CagePlan) -> str:
    """One line: `reads and writes this project; reaches nothing; 2 GB per process`."""
    memory = plan.limits.memory_bytes
    amount = "no memory limit" if memory is None else f"{size(memory)} per process"
    return f"{_project(plan)}; {_reached(plan.net)}; {amount}"


def _project(plan: CagePlan) -> str:
    inside = {path: mode for path, mode in plan.rules if PurePosixPath(path).is_relative_to(plan.root)}
    outside = [path for path, mode in plan.rules if path not in inside and mode == "ro"]
    of_root = inside.pop(plan.root, None)
    writes = "rw" in inside.values()
    if of_root == "rw":
        text = "reads and writes this project"
    elif of_root == "ro":
        text = "reads this project" + (" and writes parts of it" if writes else "")
    elif inside:
        text = "reads " + ("and writes " if writes else "") + "parts of this project"
    else:
        text = "sees nothing of this project"
    if "hidden" in inside.values():
        text += " except what is hidden"
    return text + (" and reads " + " and ".join(outside) if outside else "")


def _hosts(net: NetPlan) -> list[str]:
    return _each(*net.spec.allow, *(rule.host for rule in net.spec.http), *(s.host for s in net.secrets))


def _each(*hosts: str) -> list[str]:
    """Hosts once, a port other than 443 with them."""
    split_up = [split(host) for host in dict.fromkeys(hosts)]
    words = [("any host" if name == "*" else name, port) for name, port in split_up]
    return [name if port == HTTPS else f"{name}{':' if '.' in name else ' on port '}{port}" for name, port in words]


def _reached(net: NetPlan | None) -> str:
    if net is None:
        return "reaches nothing"
    if net.spec.mode == "learn":
        return "reaches any host, to learn which it needs"
    hosts = _hosts(net)
    if len(hosts) > _MOST:
        hosts = [*hosts[: _MOST - 1], f"{len(hosts) - _MOST + 1} more hosts"]
    named = f"reaches {', '.join(hosts[:-1])}{' and ' if hosts[1:] else ''}{hosts[-1]}" if hosts else ""
    asks = f"asks before it reaches {'any other' if hosts else 'a'} host" if net.spec.mode == "ask" else ""
    return ", ".join(filter(None, (named, asks)))


def explain(plan: CagePlan) -> list[str]:
    """What can be read, written, reached, and how much may be used, one thing a line."""
    writes, reads, hidden = ([p for p, m in plan.rules if m == mode] for mode in ("rw", "ro", "hidden"))
    own = f"{plan.home} ({_KEPT[plan.keeps]}), /tmp (emptied with the cage)"
    system = "the system's programs and libraries (/usr, parts of /etc)"
    names = ", ".join(plan.toolchains)
    lent = dict.fromkeys(re.sub(r"(/\.[^/]+|/go|/sdk)/.*", r"\1/…", path) for path in plan.lent)
    listed = {
        "writes": [*writes, own],
        "reads": [*reads, system],
        f"borrows toolchains of your home ({names})": lent or (["none was found"] if names else ()),
        "hidden": hidden,
        "cannot change": plan.protect if writes else (),
        "cannot create": plan.placeholders,
    }
    return [
        *(f"{what}: {', '.join(paths)}" for what, paths in listed.items() if paths),
        *_network(plan.net),
        *_limits(plan),
        f"kernel: system call filter `{plan.seccomp}`, no capabilities, no namespaces of its own",
    ]


def _network(net: NetPlan | None) -> Iterator[str]:
    if net is None:
        yield "reaches: nothing (no network, no other process, no socket of this machine)"
        return
    spec, hosts = net.spec, _hosts(net)
    if hosts:
        yield f"reaches: {', '.join(hosts)}"
    if spec.mode == "ask":
        host = "any other host" if hosts else "a host"
        yield f"asks you: before it reaches {host}; no answer in {duration(spec.ask_timeout)} means no"
    if spec.mode == "learn":
        yield "learns: every other host is let through and noted; meant for a first run, not for daily work"
    if opened := _each(*(rule.host for rule in spec.http), *(secret.host for secret in net.secrets)):
        yield f"encryption is opened, and each request checked, for: {', '.join(opened)}"
    for rule in spec.http:
        yield f"requests to {_each(rule.host)[0]}: {', '.join(rule.methods)} of {', '.join(rule.paths)}"
    for secret in net.secrets:
        form = f"`{secret.header}: {secret.format.replace('{}', '…')}`"
        place = f"goes to {_each(secret.host)[0]} as {form} and nowhere else"
        yield f"secret {secret.name}: {place}; the cage sees a placeholder"
    yield from (f"address of {name}: {address}" for name, address in spec.hosts.items())
    if spec.private:
        yield f"private networks that a name may lead to: {', '.join(spec.private)}"


def _limits(plan: CagePlan) -> Iterator[str]:
    limits, most = plan.limits, plan.limits.memory_bytes
    memory = "no limit" if most is None else f"{size(most)} in each process and in all together"
    cpu = "" if limits.cpu is None else f"{limits.cpu:g} processor{'' if limits.cpu == 1 else 's'}, "
    yield (
        f"uses at most: memory {memory}, {cpu}{limits.pids} processes, files of {size(limits.fsize_bytes)}, "
        f"{limits.nofile} open files a process, {duration(limits.walltime_s)} a command"
    )
    own = size(plan.own_bytes)
    if plan.keeps == "ephemeral":
        yield f"own space: {plan.home} and /tmp, {own} each, which lie in memory and count as memory"
    else:
        yield f"own space: {plan.home}, {size(limits.disk_bytes)} on disk; /tmp, {own}, counts as memory"


def size(amount: int) -> str:
    """Bytes the way people say them: `2 GB`, `512 MB`, `1.5 GB`."""
    for unit, name in ((1024**3, "GB"), (1024**2, "MB"), (1024, "KB")):
        if amount >= unit:
            return f"{amount / unit:.1f}".removesuffix(".0") + f" {name}"
    return f"{amount} bytes"


def duration(seconds: float) -> str:
    """Seconds the way people say them: `30 minutes`, `1 hour`, `90 seconds`."""
    for unit, name in ((3600, "hour"), (60, "minute")):
        if seconds >= unit and seconds % unit == 0:
            count = int(seconds // unit)
            return f"{count} {name}" + ("" if count == 1 else "s")
    return f"{seconds:g} second" + ("" if seconds == 1 else "s")
