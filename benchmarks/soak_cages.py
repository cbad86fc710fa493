"""A thousand cages, started and killed one after the other: what a keeper holds before and after.

Usage: python benchmarks/soak_cages.py [NUMBER]

Every second cage has a network; every third ends by the death of its init. Exits with 1 when anything is
left: a process, a descriptor, a mount, a control group, a namespace.
"""

import asyncio
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import common

from keeper.netted import options
from keeper.soak import soak
from real_keeper import keeper


async def main(cycles: int) -> int:
    """Soak, and say what was held."""
    assert common.TESTS.is_dir()
    with TemporaryDirectory(prefix="kg-") as folder:
        begun = time.perf_counter()
        async with keeper(Path(folder), options=options(Path(folder))) as client:
            before, after = await soak(client, Path(folder), cycles)
        print(f"{cycles} cages in {time.perf_counter() - begun:.0f} s")
    print(f"before: {before}\nafter:  {after}")
    return int(before != after)


if __name__ == "__main__":
    sys.exit(asyncio.run(main(int(sys.argv[1]) if sys.argv[1:] else 1000)))
