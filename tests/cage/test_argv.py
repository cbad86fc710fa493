"""Bubblewrap's options: exact, in order, and without a way for a value to become one."""

import base64
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from kaged.cage.argv import bwrap_options
from kaged.cage.host import HostFacts
from kaged.cage.plan import CagePlan, Mount, PlanLimits
from kaged.cage.seccomp import filter_for
from kaged.core.errors import KagedError

ALL = frozenset({"--size", "--disable-userns"})
HOST = HostFacts(
    machine="aarch64",
    bwrap="/usr/bin/bwrap",
    options=ALL,
    base=(("/bin", "usr/bin"), ("/lib64", None)),
    etc=("ssl/certs",),
    shell="/bin/bash",
    python="/usr/bin/python3",
    python_prefix=None,
    init="/opt/kaged/init.py",
    ca_files=("/etc/ssl/certs/ca-certificates.crt",),
    java=False,
    memory_bytes=16 * 1024**3,
)
PLAN = CagePlan(
    name="sample",
    root="/srv/p",
    rules=(("/srv/p", "rw"),),
    protect=(".envrc",),
    mounts=(
        Mount("rw", "/srv/p"),
        Mount("hide-dir", "/srv/p/.envrc", placeholder=True),
        Mount("pin", "/srv/p/.git"),
        Mount("hide-dir", "/srv/p/secrets"),
        Mount("hide-file", "/srv/p/key"),
    ),
    env=(("PATH", "/agent/bin"), ("X", "--bind")),
    seccomp="default",
    limits=PlanLimits(2**31, 512, 4096, 2**32, 1800.0),
    workdir="/srv/p",
    host=HOST,
)

GOLDEN = shlex.split("""
--unshare-user --unshare-pid --unshare-ipc --unshare-uts --unshare-net --unshare-cgroup-try
--uid 1000 --gid 1000 --disable-userns
--die-with-parent --new-session --cap-drop ALL --hostname cage
--ro-bind /usr /usr --symlink usr/bin /bin --ro-bind /lib64 /lib64 --ro-bind-try /etc/ssl/certs /etc/ssl/certs
--perms 0644 --ro-bind-data <passwd> /etc/passwd
--perms 0644 --ro-bind-data <group> /etc/group
--perms 0644 --ro-bind-data <nsswitch.conf> /etc/nsswitch.conf
--perms 0644 --ro-bind-data <resolv.conf> /etc/resolv.conf
--perms 0644 --ro-bind-data <hosts> /etc/hosts
--proc /proc --remount-ro /proc --dev /dev
--size 67108864 --perms 1777 --tmpfs /dev/shm --remount-ro /dev
--size 2147483648 --perms 1777 --tmpfs /tmp
--size 2147483648 --perms 0700 --tmpfs /home/agent
--dir /run --symlink /run /var/run --dir /var/tmp
--ro-bind /opt/kaged/init.py /run/kaged/init.py --ro-bind /opt/kaged/files.py /run/kaged/files.py
--perms 0644 --ro-bind-data <gitconfig> /run/kaged/gitconfig
--bind /srv/p /srv/p
--perms 1755 --dir /srv/p/.envrc --size 4096 --perms 0555 --tmpfs /srv/p/.envrc --remount-ro /srv/p/.envrc
--bind /srv/p/.git /srv/p/.git
--size 4096 --perms 0555 --tmpfs /srv/p/secrets --remount-ro /srv/p/secrets
--ro-bind /dev/null /srv/p/key
--remount-ro /
--chdir /srv/p --clearenv
--setenv PATH /usr/local/bin:/usr/bin:/bin --setenv HOME /home/agent --setenv LANG C.UTF-8
--seccomp <seccomp>
""")


def flat(plan: CagePlan) -> list[str]:
    return [arg if isinstance(arg, str) else f"<{arg['data']}>" for arg in bwrap_options(plan)[0]]


def test_the_options_are_the_ones_that_were_reviewed() -> None:
    assert flat(PLAN) == GOLDEN


def test_an_older_bubblewrap_gets_only_what_it_knows() -> None:
    args = flat(replace(PLAN, host=replace(HOST, options=frozenset())))
    assert "--size" not in args and "--disable-userns" not in args
    expected = [a for a in GOLDEN if a not in ("--size", "--disable-userns", "67108864", "2147483648", "4096")]
    assert args == expected


def test_the_wire_form_carries_everything() -> None:
    wire = PLAN.to_wire()
    assert wire["hash"] == PLAN.hash()
    assert set(wire["data"]) == {arg["data"] for arg in wire["args"] if isinstance(arg, dict)}
    assert base64.b64decode(wire["data"]["seccomp"]) == filter_for("default", "aarch64")
    assert b"agent:x:1000:1000" in base64.b64decode(wire["data"]["passwd"])
    assert wire["init"] == ["/usr/bin/python3", "-I", "-S", "/run/kaged/init.py"]
    assert wire["env"] == {"PATH": "/agent/bin", "X": "--bind"}
    assert wire["limits"] == {
        "memory_bytes": 2**31, "pids": 512, "nofile": 4096, "fsize_bytes": 2**32, "walltime_s": 1800.0,
        "cpu": None, "disk_bytes": 2 * 1024**3,
    }  # fmt: skip
    assert wire["placeholders"] == ["/srv/p/.envrc"]
    assert "/srv/p/.git" in wire["guards"] and "/srv/p" not in wire["guards"]


def test_a_python_of_our_version_gets_the_init_compiled() -> None:
    wire = replace(PLAN, host=replace(HOST, bytecode=True)).to_wire()
    for name in ("init", "files"):
        at = wire["args"].index({"data": name})
        assert wire["args"][at - 1 : at + 2] == ["--ro-bind-data", {"data": name}, f"/run/kaged/{name}.pyc"]
        assert name not in wire["data"]  # the keeper's to add
    assert wire["init"] == ["/usr/bin/python3", "-I", "-S", "/run/kaged/init.pyc"]


def test_what_a_project_sets_does_not_steer_the_init() -> None:
    assert "/agent/bin" not in flat(PLAN)


@pytest.mark.parametrize("path", ["/srv/a\0--bind\0/\0/", "/srv/\0"])
def test_t37_a_nul_never_reaches_bubblewrap(path: str) -> None:
    with pytest.raises(KagedError, match="holds a NUL"):
        bwrap_options(replace(PLAN, workdir=path))


def test_the_init_exists() -> None:
    import kaged
    from kaged.cage.host import host_facts

    assert host_facts().init == str(Path(kaged.__file__).parent / "inside" / "init.py")
