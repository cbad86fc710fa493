"""Reaching, taking and keeping what is not a cage's own: all of it must fail, each with its control.

The numbers are those of the attack list: T41 to T50, and of T67 what concerns the cage.
"""

import asyncio
import json
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from attacks.yard import Yard, open_yard
from kaged.audit.log import Audit
from kaged.cage.client import KeeperClient
from kaged.cage.compile import compile_plan
from kaged.core.actors import DAEMON
from kaged.core.errors import KagedError
from kaged.projects.cage_spec import CageSpec
from real_keeper import mark, marked, until

pytestmark = [pytest.mark.cage, pytest.mark.asyncio(loop_scope="module")]


# --- T41, T42, T43: sockets, processes, the kernel's windows ---

REACH = """
import json, socket, sys
def reach(kind, address, family):
    try:
        with socket.socket(family, kind) as s:
            s.settimeout(5)
            s.connect(address) if kind == socket.SOCK_STREAM else s.sendto(b"x", address)
        return "reached"
    except OSError as error:
        return type(error).__name__
given = json.loads(sys.argv[1])
S, D = socket.SOCK_STREAM, socket.SOCK_DGRAM
answers = {path: reach(S, path.replace("@", "\\0"), socket.AF_UNIX) for path in given["unix"]}
answers["tcp"] = reach(S, ("127.0.0.1", given["tcp"]), socket.AF_INET)
answers["udp"] = reach(D, ("127.0.0.1", given["udp"]), socket.AF_INET)
answers["udp far"] = reach(D, ("192.0.2.1", 53), socket.AF_INET)
print(json.dumps(answers))
"""


async def test_t41_no_socket_of_the_host_is_reached(yard: Yard, client: KeeperClient) -> None:
    with (
        socket.socket(socket.AF_UNIX) as path,
        socket.socket(socket.AF_UNIX) as abstract,
        socket.socket() as tcp,
        socket.socket(type=socket.SOCK_DGRAM) as udp,
    ):
        path.bind(str(yard.around / "s"))
        abstract.bind("\0" + mark())
        for one in (tcp, udp):
            one.bind(("127.0.0.1", 0))
        for one in (path, abstract, tcp):
            one.listen(8)
        udp.setblocking(False)
        names = [path.getsockname(), "@" + abstract.getsockname()[1:].decode(), "/run/docker.sock"]
        names += ["/run/dbus/system_bus_socket", "/run/systemd/private", "/tmp/.X11-unix/X0", "/tmp/tmux-0/default"]
        given = json.dumps({"unix": names, "tcp": tcp.getsockname()[1], "udp": udp.getsockname()[1]})
        argv = [yard.plan.host.python, "-I", "-c", REACH, given]
        control = json.loads(subprocess.run(argv, capture_output=True, check=True, text=True).stdout)
        assert [control[name] for name in [*names[:2], "tcp", "udp"]] == ["reached"] * 4
        assert udp.recv(10) == b"x"
        end, text = await yard.run(*argv)
        assert end.code == 0, text
        answers = json.loads(text)
        answers.pop("udp")  # sending into one's own empty network is possible and arrives nowhere
        assert "reached" not in answers.values(), answers
        with pytest.raises(BlockingIOError):
            udp.recv(10)


async def test_t41_a_server_inside_is_reached_inside_only(yard: Yard) -> None:
    script = """
import socket, threading, urllib.request, http.server
server = http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
threading.Thread(target=server.handle_request, daemon=True).start()
print(urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/").status)
"""
    assert (await yard.python(script)).strip().splitlines()[-1] == "200"


DOUBLE_FORK = """
import os
if os.fork() == 0 and not os.setsid() and os.fork() == 0:"""


async def test_t42_nothing_stays_behind_and_no_signal_gets_out(yard: Yard) -> None:
    left, outside = mark(), mark()
    with subprocess.Popen(["sleep", outside]) as bystander:
        await yard.sh(f"setsid nohup sleep {left} >/dev/null 2>&1 & (sleep {left} &)")
        await yard.python(DOUBLE_FORK + f'\n    os.execlp("sleep", "sleep", "{left}")')
        await until(lambda: len(marked(left)) >= 3)
        text = await yard.sh(f"kill -9 {bystander.pid} 2>&1; kill -9 -1; true")
        assert bystander.poll() is None, text
        again = await yard.client.run(yard.id, f"p-{mark()}", ["sleep", left])
        await yard.client.drop_cage(yard.id)
        assert (await again.wait()).reason in ("killed", "cage_lost")
        assert marked(left) == []
        bystander.kill()


async def test_t43_the_daemons_environment_is_not_in_the_cage(yard: Yard) -> None:
    text = await yard.sh("cat /proc/*/environ /proc/*/cmdline 2>/dev/null | tr '\\0' '\\n'; env")
    assert "hunter2" not in text and "HOME=/home/agent" in text
    assert sorted((await yard.sh("ls /proc")).split(), key=str)[0] == "1"
    hostile = "ls /proc/1/fd /proc/1/root/ /proc/1/cwd/ ; cat /proc/1/maps /proc/1/mem"
    assert "Permission denied" in await yard.sh(hostile + " 2>&1")


async def test_t43_memory_of_the_init_is_closed(yard: Yard) -> None:
    """The init has the same account as the commands: it must not be possible to write into it."""
    script = """
import os
child = os.fork()
if child == 0:
    import time; time.sleep(30)
open(f"/proc/{child}/maps").read()
tries = {name: open for name in ("mem", "maps", "environ", "auxv", "pagemap")}
tries.update({name: os.readlink for name in ("root", "cwd", "exe", "fd/0")})
for name, work in tries.items():
    try:
        open(f"/proc/{child}/{name}", "rb").close() if work is open else os.readlink(f"/proc/{child}/{name}")
        getattr(work(f"/proc/1/{name}"), "read", str)()
    except PermissionError:
        continue
    print("open:", name)
os.kill(child, 9)
"""
    assert await yard.python(script) == ""


# --- T44, T45, T46: other ways to start things, policies that do not hold ---


async def test_t44_loaders_and_variables_change_nothing(yard: Yard) -> None:
    loader = next(Path("/usr/lib64").glob("ld-linux*"), next(Path("/usr/lib").glob("ld-linux*"), None))
    assert loader is not None
    (yard.project / "evil.sh").write_text("echo evil >> ran")
    secret = yard.around / "secret"
    assert "hunter2" not in await yard.sh(f"{loader} /usr/bin/cat {secret} /etc/shadow 2>&1")
    assert await yard.sh(f"{loader} /usr/bin/echo control") == "control\n"
    hostile = {
        "LD_PRELOAD": f"{yard.project}/x.so",
        "BASH_ENV": f"{yard.project}/evil.sh",
        "PYTHONSTARTUP": "x",
        "GIT_DIR": "/",
    }
    await yard.run("/bin/true", env=hostile)
    text = await yard.sh("grep -E '^(NoNewPrivs|Seccomp):' /proc/self/status", env={"BASH_ENV": "x"})
    assert text == "NoNewPrivs:\t1\nSeccomp:\t2\n"
    assert not (yard.project / "ran").exists()


@pytest.mark.parametrize(
    "spec",
    [
        {"net": {"allow": ["10.0.0.1:443"]}}, {"net": {"mode": "open"}}, {"nett": {}}, {"secrets": [{}]},
        {"net": {"allow": ["*example.com"]}}, {"net": {"allow": ["example.com."]}}, {"net": {"allow": "*"}},
        {"fs": [{"path": "project:/", "mode": "rwx"}]}, {"fs": "project:/"}, {"seccomp": "off"},
        {"fs": [{"path": "project:/../..", "mode": "rw"}]}, {"home": "host"}, {"limits": {"cpu": 0}},
        {"protect": {"remove": ["**"]}}, {"toolchains": ["everything"]},
    ],
    ids=str,
)  # fmt: skip
async def test_t45_a_policy_that_cannot_be_kept_is_refused(spec: dict[str, Any]) -> None:
    with pytest.raises(
        ValueError, match=r"cage|Input|Extra|protected|allowed|expected|address|wildcard|without a dot|Field"
    ):
        CageSpec.model_validate(spec)


async def test_t45_an_empty_list_means_nothing(client: KeeperClient, around: Path) -> None:
    (around / "project" / "file").write_text("x")
    yard = await open_yard(client, around, fs=[], net={"allow": []})
    assert (await yard.sh("pwd")) == "/home/agent\n"
    assert yard.plan.net is None
    assert "No such file" in await yard.sh(f"ls {yard.project} 2>&1")
    await client.drop_cage(yard.id)


async def test_t46_what_bubblewrap_lacks_is_an_error_and_never_a_weaker_cage(
    client: KeeperClient, around: Path
) -> None:
    plan = compile_plan(CageSpec(), around / "project", name="x", environ={})

    class Lacking:
        def to_wire(self) -> dict[str, Any]:
            wire = plan.to_wire()
            wire["args"] = ["--unshare-everything", *wire["args"]]
            return wire

    with pytest.raises(KagedError, match="Unknown option") as caught:
        await client.ensure_cage("lacking", Lacking())
    assert caught.value.code == "unavailable"
    with pytest.raises(KagedError):
        await client.run("lacking", "x", ["true"])


# --- T47: taking too much ---


BOMB = """
import os, time
for _ in range(9):
    try: os.fork()
    except OSError: pass
time.sleep(3)
"""
HOGS = """
import os, time
def fork():
    while True:
        try: return os.fork()
        except OSError: time.sleep(0.1)  # the last of the bomb are still ending
for _ in range(11):
    if fork() == 0: break
kept = [os.urandom(1 << 20) for _ in range(90)]
time.sleep(60)
"""


async def test_t47_floods_are_contained(client: KeeperClient, around: Path) -> None:
    yard = await open_yard(client, around, limits={"memory": "128MiB", "pids": 48})
    for script, reasons in ((BOMB, {"pids", "exited"}), (HOGS, {"memory"})):
        process = await client.run(yard.id, f"p-{mark()}", [yard.plan.host.python, "-I", "-c", script])
        async with asyncio.timeout(30):
            end = await process.wait()
        assert end.reason in reasons, end
        await client.ensure_cage(yard.id, yard.plan)
        assert await yard.sh("echo alive") == "alive\n"
    await client.drop_cage(yard.id)


FILES = """
kept = []
try:
    while True: kept.append(open("/dev/null"))
except OSError as error:
    print(len(kept) < 5000, error.errno)
"""


async def test_t47_full_memory_disks_and_open_files_hurt_only_the_command(yard: Yard) -> None:
    text = await yard.sh("head -c 400M /dev/zero > /tmp/big; head -c 100M /dev/zero > /dev/shm/big")
    assert "No space left" in text
    await yard.sh("rm /tmp/big /dev/shm/big")
    text = await yard.python(FILES)
    assert text.split() == ["True", "24"]
    assert await yard.sh("echo alive > /tmp/x; cat /tmp/x") == "alive\n"


# --- T48, T49, T50: temporary files, set-user-id, what an earlier cage left ---


async def test_t48_t50_each_cage_has_its_own_temporary_files(client: KeeperClient, yard: Yard, around: Path) -> None:
    other = await open_yard(client, around)
    script = "echo hunter2 | tee /tmp/x /home/agent/x /dev/shm/x; ls -ld /home/agent /tmp | cut -c1-10"
    assert (await yard.sh(script)).splitlines() == ["hunter2", "drwx------", "drwxrwxrwt"]
    look = "ls -A /tmp /dev/shm /home/agent; cat /tmp/x /home/agent/x /dev/shm/x 2>/dev/null"
    assert "hunter2" not in (text := await other.sh(look)) and "x" not in text.split()
    await client.drop_cage(other.id)
    await client.drop_cage(yard.id)
    await client.ensure_cage(yard.id, yard.plan)
    assert "hunter2" not in await yard.sh(look)
    assert not Path("/tmp/x").exists() and not Path("/dev/shm/x").exists()


async def test_t49_no_set_user_id_file_and_no_device(yard: Yard) -> None:
    script = """
import os, shutil, subprocess
shutil.copy("/usr/bin/true", "tool")
tries = [lambda: os.chmod("tool", 0o4755), lambda: os.mknod("null", 0o20666, os.makedev(1, 3)),
         lambda: os.mknod("made", 0o104755), lambda: os.setxattr("tool", "security.capability", bytes(20)),
         lambda: subprocess.run(["chmod", "u+s", "tool"], check=True, capture_output=True),
         lambda: subprocess.run(["cp", "-p", "/usr/bin/su", "su"], check=True, capture_output=True)]
for number, work in enumerate(tries):
    try:
        work()
        print("worked", number)
    except (OSError, subprocess.CalledProcessError):
        pass
fd = os.open("created", os.O_CREAT | os.O_WRONLY, 0o4755)
os.write(fd, open("/usr/bin/true", "rb").read())
os.chmod("tool", 0o755)
"""
    text = await yard.python(script)
    assert text in ("", "worked 5\n")  # `cp` leaves the bit out where the file is not one's own
    modes = {path.name: path.stat().st_mode for path in yard.project.iterdir() if path.is_file()}
    assert modes["tool"] & 0o777 == 0o755
    assert not any(mode & 0o4000 for mode in modes.values())
    assert not any(path.is_block_device() or path.is_char_device() for path in yard.project.iterdir())


async def test_t49_set_user_id_programs_give_nothing(yard: Yard) -> None:
    text = await yard.sh("for p in su passwd mount; do stat -c %A /usr/bin/$p; done; mount -t tmpfs x /tmp 2>&1; id -u")
    assert "rws" in text and text.splitlines()[-1] == "1000"


# --- T67: the audit log ---


async def test_t67_the_cage_cannot_reach_the_audit_log(client: KeeperClient, around: Path) -> None:
    audit = await Audit.open(around / "audit.log")
    await audit.record(DAEMON, "cage.start", "x", "ok", {})
    with pytest.raises(KagedError, match="not allowed in a cage"):
        rules = [{"path": "project:/", "mode": "rw"}, {"path": str(around / "audit.log"), "mode": "ro"}]
        compile_plan(
            CageSpec.model_validate({"fs": rules}), around / "project", name="x", never=[audit.path], environ={}
        )
    yard = await open_yard(client, around)
    text = await yard.sh(f"echo evil >> {audit.path}; cat {audit.path} 2>&1; ls -A {around}")
    assert "cage.start" not in text and text.splitlines()[-1] == "project"
    assert (await audit.verify()).records == 1 and "evil" not in audit.path.read_text()
    await client.drop_cage(yard.id)
    await audit.close()
