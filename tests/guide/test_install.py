"""install.sh on a scratch machine: for the whole host, for one account, again, and away again."""

import shutil
import subprocess
from pathlib import Path

import pytest

from guide import machine as machines
from guide.conftest import gather
from guide.machine import ROOT, Machine

SCRIPT = ROOT / "examples" / "deployment" / "install.sh"
INSTALL = "sh examples/deployment/install.sh"
OFFLINE = "--wheel /srv/wheels/kaged-*.whl --offline /srv/wheels"
PLACES = "/etc /opt /usr/local /var/lib/kaged /run/kaged /home /srv"
SEEN = f"find {PLACES} -xdev ! -name 'passwd*' ! -name 'shadow*' ! -name 'group*' ! -name 'gshadow*' 2>/dev/null | sort"
scratch = [pytest.mark.scratch, pytest.mark.cage, pytest.mark.timeout(300)]


def mark(test):
    for each in scratch:
        test = each(test)
    return test


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_shellcheck_finds_nothing() -> None:
    done = subprocess.run(["shellcheck", SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--colour"], "there is no option --colour; see --help"),
        (["--wheel"], "--wheel needs a value"),
        (["--purge"], "--purge goes together with --uninstall"),
        (["--user", "--wheel", "/etc/passwd"], "is not a wheel of kaged"),
        (["--user", "--python", "/bin/true.none"], "is not a Python 3.11 or newer"),
    ],
)
def test_mistakes_get_one_sentence(tmp_path: Path, arguments: list[str], words: str) -> None:
    env = {"PATH": machines.PATH, "HOME": str(tmp_path)}
    done = subprocess.run(["sh", SCRIPT, *arguments], capture_output=True, text=True, check=False, env=env)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("install.sh: ") and done.stderr.count("\n") == 1
    assert words in done.stderr
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


def test_help_names_every_option_and_place() -> None:
    said = subprocess.run(["sh", SCRIPT, "--help"], capture_output=True, text=True, check=True).stdout
    options = "--system --user --wheel --offline --python --no-start --program-only --uninstall --purge"
    for word in f"{options} /opt/kaged /usr/local/bin/kaged /etc/kaged /var/lib/kaged".split():
        assert word in said


@mark
def test_for_the_whole_host_again_and_away(machine: Machine) -> None:
    before = machine.run(SEEN)
    said = machine.run(f"{INSTALL} {OFFLINE}")
    assert "made the account kaged" in said and "runs\n" in said
    assert machine.run("curl -s http://127.0.0.1:7777/healthz") == "ok"
    config = (machine.root / "etc/kaged/config.toml").read_text(encoding="utf-8")
    assert config.startswith('[daemon]\nbind = "127.0.0.1:7777"\nhome = "/var/lib/kaged"\n')
    owners = "stat -c '%U:%G %a %n' /etc/kaged /etc/kaged/* /var/lib/kaged"
    assert machine.run(owners).splitlines() == [
        "root:kaged 1775 /etc/kaged",
        "root:root 644 /etc/kaged/config.toml",
        "kaged:kaged 600 /etc/kaged/env",
        "kaged:kaged 700 /var/lib/kaged",
    ]
    machine.run('test -z "$(find -L /opt/kaged ! -perm -o=r -o -type d ! -perm -o=x)"')
    assert machine.run("kaged version", account="kaged").startswith("kaged ")

    # Again: nothing of it is touched, not even the daemon.
    machine.run("printf '# mine\\n' >> /etc/kaged/config.toml")
    state = (
        f"{owners}; sha256sum /etc/kaged/*; systemctl show -p MainPID kaged; find /opt/kaged ! -name __pycache__ | sort"
    )
    earlier = machine.run(state)
    said = machine.run(f"{INSTALL} {OFFLINE}")
    assert "is installed already" in said and "kaged runs already" in said
    assert machine.run(state) == earlier

    # What the account may have put in place of its file is not followed by root.
    machine.run("mv /etc/kaged/env /srv/env; ln -s /etc/planted /etc/kaged/env", account="root")
    assert "cannot be made" in machine.run(f"{INSTALL} {OFFLINE}", ok=False)
    assert machine.run("ls /etc/planted 2>&1 || :").endswith("No such file or directory\n")
    machine.run("mv -f /srv/env /etc/kaged/env")

    said = machine.run(f"{INSTALL} --uninstall")
    assert "left: /var/lib/kaged" in said and "left: the account kaged" in said
    left = set(machine.run(SEEN).split()) - set(before.split())
    assert {p for p in left if not p.startswith(("/etc/kaged", "/var/lib/kaged"))} == set()
    assert machine.run("pgrep -u kaged || echo none") == "none\n"
    assert "# mine" in machine.run("ls /var/lib/kaged/kaged.db /etc/kaged/env; cat /etc/kaged/config.toml")
    machine.run(f"{INSTALL} --uninstall --purge")
    assert machine.run(SEEN) == before
    assert machine.run("id kaged 2>&1 || :").endswith("no such user\n")


TALK = """\
cd ~
for n in $(seq 100); do kaged --mode=user status >/dev/null 2>&1 && break; sleep 0.1; done
kaged --mode=user session send sample 'run: touch made && ls /root /etc/shadow 2>&1; id -u' --wait
"""


@mark
def test_for_one_account_with_its_own_service(machine: Machine) -> None:
    machine.run("id alice >/dev/null 2>&1 || useradd -m alice; systemctl start user@$(id -u alice)")
    said = machine.run(f"{INSTALL} --user {OFFLINE}", account="alice")
    assert "/home/alice/.local/bin/kaged" in said
    assert "runs\n" in said
    said = machine.run(f"PATH=$HOME/.local/bin:$PATH\n{TALK}", account="alice")
    assert "No such file" in said and "1000" in said
    assert (machine.root / "home/alice/.local/share/kaged/projects/sample/made").exists()
    assert "already" in machine.run(f"{INSTALL} --user {OFFLINE}", account="alice")
    said = machine.run(f"{INSTALL} --user --uninstall", account="alice")
    assert "left: /home/alice/.local/share/kaged" in said
    assert machine.run("pgrep -fa kaged/keeper -u alice || echo none") == "none\n"
    machine.run(f"{INSTALL} --user --uninstall --purge", account="alice")
    assert machine.run("find /home/alice -name '*kaged*' ! -path '*/.cache/*'") == ""


@mark
def test_as_root_in_a_container(machine: Machine) -> None:
    machine.run(f"{INSTALL} --program-only {OFFLINE}")
    start = "mkdir -p /srv/root; export HOME=/srv/root XDG_RUNTIME_DIR=/srv/root/r; mkdir -p $XDG_RUNTIME_DIR"
    machine.run(f"{start}; cd /; setsid kaged start --mode=user --bind 127.0.0.1:7979 > /srv/root/log 2>&1 &")
    said = machine.run(f"{start}\n{TALK}\nkaged --mode=user stop; cat /srv/root/log")
    assert "No such file" in said
    assert "running as root" in said
    machine.run(f"rm -rf /srv/root; {INSTALL} --uninstall")


@mark
def test_an_interpreter_in_a_home_folder_is_copied(built: Path, short_tmp: Path) -> None:
    found = sorted(Path("/root/.pyenv/versions").glob("3.1[1-9].*/bin/python3")) if Path("/root").is_dir() else []
    if not found:
        pytest.skip("there is no interpreter below a home folder here")
    gather(short_tmp, built, machines.dependencies(str(found[-1])))
    with machines.machine(short_tmp, own=True) as it:
        said = it.run(f"{INSTALL} {OFFLINE} --python {found[-1]}")
        assert "copying the interpreter" in said
        assert it.run("ls -d /opt/kaged/current/interpreter/lib/python*/test 2>&1 || :").endswith(
            "No such file or directory\n"
        )
        real = it.run("readlink -f /opt/kaged/current/bin/python; kaged version", account="kaged")
        assert real.startswith("/opt/kaged/versions/")
        assert it.run("curl -s http://127.0.0.1:7777/healthz") == "ok"
