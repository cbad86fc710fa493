"""Descendants and their memory."""

import os
import signal
import subprocess
import sys

from kaged.keeper import kin

MIB = 1024 * 1024
HOG = "import time; b = bytearray({size}); print('full', flush=True); time.sleep(1000)"


def test_both_ways_to_find_descendants_agree() -> None:
    script = "sleep 100 & (sleep 100; :) & wait"
    with subprocess.Popen(["bash", "-c", f"{script}"], start_new_session=True) as root:
        try:
            while len(kin.by_children(root.pid)) < 3:
                pass
            assert kin.by_children(root.pid) == kin.by_table(root.pid)
            assert kin.descendants(root.pid) == kin.by_table(root.pid)
        finally:
            os.killpg(root.pid, signal.SIGKILL)
    assert kin.by_children(root.pid) == kin.by_table(root.pid) == {}


def test_threads_count_as_tasks() -> None:
    code = (
        "import threading as t, time\n"
        "for _ in range(4): t.Thread(target=time.sleep, args=(100,), daemon=True).start()\n"
        "print(flush=True); time.sleep(100)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert kin.by_children(os.getpid())[child.pid] == 5
        assert kin.by_table(os.getpid())[child.pid] == 5
        child.kill()


def test_memory_of_a_process() -> None:
    with subprocess.Popen([sys.executable, "-c", HOG.format(size=50 * MIB)], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert 50 * MIB < kin.resident(child.pid) < 100 * MIB
        assert 50 * MIB < kin.proportional(child.pid) <= kin.resident(child.pid)
        child.kill()
    assert kin.resident(child.pid) == kin.proportional(child.pid) == 0
