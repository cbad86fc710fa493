"""What a plan allows, in words a person reads at a glance and in lines that leave nothing out."""

from kaged.cage.plan import CagePlan


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


def words(plan: CagePlan) -> str:
    """One line: what it reads and writes; what it reaches; how much it may use."""
    memory = plan.limits.memory_bytes
    amount = "no memory limit" if memory is None else f"{size(memory)} per process"
    return f"{_project(plan)}; reaches nothing; {amount}"


def _project(plan: CagePlan) -> str:
    modes = dict(plan.rules)
    inside = {path: mode for path, mode in modes.items() if path != plan.root and _below(path, plan.root)}
    outside = [p for p, mode in modes.items() if not _below(p, plan.root) and mode == "ro"]
    writes = any(mode == "rw" for mode in inside.values())
    match modes.get(plan.root):
        case "rw":
            text = "reads and writes this project"
        case "ro":
            text = "reads this project" + (" and writes parts of it" if writes else "")
        case _ if inside:
            text = "reads " + ("and writes " if writes else "") + "parts of this project"
        case _:
            text = "sees nothing of this project"
    if any(mode == "hidden" for mode in inside.values()):
        text += " except what is hidden"
    if outside:
        text += " and reads " + " and ".join(outside)
    return text


def _below(path: str, root: str) -> bool:
    return path == root or path.split("/")[: root.count("/") + 1] == root.split("/")


def explain(plan: CagePlan) -> list[str]:
    """What can be read, written, reached, and how much may be used, one thing a line."""
    limits = plan.limits
    memory = (
        "no limit"
        if limits.memory_bytes is None
        else f"{size(limits.memory_bytes)} in each process and in all together"
    )
    listed = {mode: [path for path, m in plan.rules if m == mode] for mode in ("rw", "ro", "hidden")}
    lines = [
        "writes: "
        + ", ".join([*listed["rw"], plan.home, "/tmp"])
        + f" ({plan.home} and /tmp are emptied with the cage)",
        "reads: " + ", ".join([*listed["ro"], "the system's programs and libraries (/usr, parts of /etc)"]),
    ]
    if listed["hidden"]:
        lines.append("hidden: " + ", ".join(listed["hidden"]))
    if listed["rw"]:
        lines.append("cannot change: " + ", ".join(plan.protect))
    if plan.placeholders:
        lines.append("cannot create: " + ", ".join(plan.placeholders))
    lines += [
        "reaches: nothing (no network, no other process, no socket of this machine)",
        f"uses at most: memory {memory}, {limits.pids} processes, files of {size(limits.fsize_bytes)}, "
        f"{duration(limits.walltime_s)} a command",
        f"kernel: system call filter `{plan.seccomp}`, no capabilities, no namespaces of its own",
    ]
    return lines
