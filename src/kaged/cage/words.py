"""Amounts the way people say them."""


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
