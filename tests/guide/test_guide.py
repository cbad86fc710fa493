"""The deployment guide, followed to the letter on a machine with systemd: its own commands and files."""

import re

import pytest

from guide import machine as machines
from guide.machine import Machine
from guide.text import TEXT, sections

pytestmark = [pytest.mark.scratch, pytest.mark.cage, pytest.mark.timeout(300)]
SECTIONS = sections()
ONE, TWO, THREE = (next(s for title, s in SECTIONS.items() if title.startswith(f"Step {n}:")) for n in (1, 2, 3))
ROTATING = SECTIONS["Rotating the nonce"]
WHO = "-H 'X-Kaged-User-Id: alice' -H 'X-Kaged-User-Email: alice@example.com'"
STAND_IN = """\
import http.client, http.server, os
class Sidecar(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        there = http.client.HTTPConnection("127.0.0.1", 7777)
        given = {"X-Kaged-Auth-Nonce": os.environ["KAGED_AUTH_SIDECAR_NONCE"], "X-Kaged-User-Id": "alice"}
        there.request("GET", self.path, headers={**given, "Host": self.headers["Host"]})
        answer = there.getresponse()
        body = answer.read()
        self.send_response(answer.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
server = http.server.ThreadingHTTPServer(("127.0.0.1", 4180), Sidecar)
server.serve_forever()
"""
"""Where the guide has oauth2-proxy: the header contract and nothing else."""


def nonce(machine: Machine) -> str:
    return (
        (machine.root / "etc/kaged/env").read_text(encoding="ascii").strip().removeprefix("KAGED_AUTH_SIDECAR_NONCE=")
    )


def status(machine: Machine, value: str, path: str = "/api/v1/me") -> str:
    ask = f"curl -s -o /dev/null -w '%{{http_code}}' -H 'X-Kaged-Auth-Nonce: {value}' {WHO}"
    return machine.run(f"{ask} http://127.0.0.1:7777{path}")


@pytest.fixture(scope="module")
def guided(machine: Machine) -> Machine:
    """After steps 1 to 3. The prerequisite, a `kaged` in /usr/local/bin, comes from install.sh."""
    machine.run(
        "sh examples/deployment/install.sh --program-only --wheel /srv/wheels/kaged-*.whl --offline /srv/wheels"
    )
    assert not (machine.root / "etc/kaged").exists() and not (machine.root / "var/lib/kaged").exists()
    machine.run(ONE.scripts[0])
    for path, text in TWO.files.items():
        machine.write(path, text)
    machine.run(TWO.scripts[0])
    machine.run(THREE.scripts[0])
    return machine


def test_the_guide_has_what_is_run_here() -> None:
    assert len(TEXT.encode()) > 4000
    assert [len(s.scripts) for s in (ONE, TWO, THREE, ROTATING)] == [1, 1, 2, 1]
    assert TWO.files["/etc/kaged/config.toml"].startswith('[daemon]\nbind = "127.0.0.1:7777"\n')
    assert TWO.files["/etc/kaged/config.toml"].endswith("[ui]\nserve = true\n")
    commands = sum(script.count("\n") for section in SECTIONS.values() for script in section.scripts)
    assert commands == 3 + 5 + 3 + 2 + 3 + 8, "every command line of the guide is taken"


def test_it_is_followed_on_a_debian_of_its_own(machine: Machine) -> None:
    base, words = machines.debian()
    if base is None:
        pytest.skip(f"followed on this machine's own system under an overlay: {words}")
    assert f"VERSION_CODENAME={words}\n" in machine.run("cat /etc/os-release")
    assert not list((machine.root / "usr/lib").glob("node_modules")) and not (machine.root / "usr/bin/gcc").exists()


def test_its_own_check_says_ok(guided: Machine) -> None:
    said = guided.run(THREE.scripts[1])
    assert "Active: active (running)" in said
    assert said.endswith("ok")
    assert sorted(guided.run("systemctl show -p User -p NRestarts --value kaged").split()) == ["0", "kaged"]
    assert guided.run("stat -c '%U %a' /etc/kaged/env /var/lib/kaged").split() == ["kaged", "600", "kaged", "700"]


def test_the_nonce_of_its_step_2_is_what_counts(guided: Machine) -> None:
    assert len(nonce(guided)) == 64
    assert (status(guided, nonce(guided)), status(guided, "x" * 64)) == ("200", "401")


def test_agents_work_in_cages_as_the_account_kaged_under_its_unit(guided: Machine) -> None:
    guided.run("kaged project new /var/lib/kaged/projects/bakery", account="kaged")
    message = "run: id -un; touch made; ls /root /etc/kaged 2>&1 | head -3; grep -c NONCE /proc/1/environ"
    said = guided.run(f'kaged session send bakery "{message}" --wait', account="kaged")
    assert "agent" in said
    assert "No such file" in said
    assert (guided.root / "var/lib/kaged/projects/bakery/made").exists()
    assert "ok    Files outside the project" in guided.run("kaged doctor", ok=False)


SERVER = """\
import http.server, ssl
server = http.server.ThreadingHTTPServer(("10.9.9.9", 443), http.server.SimpleHTTPRequestHandler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/srv/git/cert.pem", "/srv/git/key.pem")
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""
OWN_SERVER = """\
ip address add 10.9.9.9/32 dev lo
echo '10.9.9.9 git.example.com' >> /etc/hosts
mkdir -p /srv/git/work && cd /srv/git
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=git.example.com -keyout key.pem -out cert.pem \
  -addext subjectAltName=DNS:git.example.com 2>/dev/null
cp cert.pem /usr/local/share/ca-certificates/own.crt && update-ca-certificates >/dev/null
cd work && git init -q && echo bread > README.md && git add -A
git -c user.name=a -c user.email=a@example.com commit -qm bread
cd .. && git clone -q --bare work shop.git && git -C shop.git update-server-info
systemd-run -q --unit=git -p WorkingDirectory=/srv/git python3 /srv/server.py
for n in $(seq 100); do curl -sf https://git.example.com/shop.git/HEAD >/dev/null && break; sleep 0.1; done
"""


def test_a_project_is_cloned_from_an_own_server_by_https(guided: Machine) -> None:
    guided.write("/srv/server.py", SERVER)
    guided.run(OWN_SERVER)
    said = guided.run("kaged project clone https://git.example.com/shop.git", account="kaged")
    assert "shop: /var/lib/kaged/projects/shop" in said and "not trusted yet" in said
    assert (guided.root / "var/lib/kaged/projects/shop/README.md").read_text() == "bread\n"
    assert "exists already" in guided.run("kaged project clone https://git.example.com/shop.git 2>&1", ok=False)


def test_rotating_as_it_says_works_with_a_sidecar_that_reads_the_same_file(guided: Machine) -> None:
    guided.write("/srv/sidecar.py", STAND_IN)
    unit = "[Service]\nEnvironmentFile=/etc/kaged/env\nExecStart=/usr/bin/env python3 /srv/sidecar.py\n"
    guided.write("/etc/systemd/system/oauth2-proxy.service", unit)
    guided.run("systemctl daemon-reload; systemctl start oauth2-proxy")
    keeper = guided.run("pgrep -f '[k]eeper/main.py'")
    before = nonce(guided)
    guided.run(ROTATING.scripts[0])
    after = nonce(guided)
    assert len(after) == 64 and after != before
    assert (status(guided, before), status(guided, after)) == ("401", "200")
    through = "curl -s --retry 20 --retry-connrefused --retry-delay 1 -o /dev/null -w '%{http_code}'"
    assert guided.run(f"{through} http://127.0.0.1:4180/api/v1/me") == "200"
    assert guided.run("pgrep -f '[k]eeper/main.py'") == keeper, "the keeper outlives it"
    assert guided.run("stat -c '%U %a' /etc/kaged/env").split() == ["kaged", "600"]


MOVED = """\
kaged --mode=system db backup --secrets /srv/all.tar.gz
kaged --mode=system stop
mkdir /srv/before /srv/config
mv /var/lib/kaged /srv/before
mv /etc/kaged /srv/config
install -d -m 0700 -o kaged -g kaged /var/lib/kaged
install -d -m 1775 -o root -g kaged /etc/kaged
install -m 0644 /srv/config/kaged/config.toml /etc/kaged/
kaged --mode=system db restore /srv/all.tar.gz
systemctl start kaged
"""


def test_a_backup_taken_by_root_serves_the_account_kaged_elsewhere(guided: Machine) -> None:
    before = guided.run("kaged --mode=system session list bakery")
    said = guided.run(MOVED)
    assert "config.toml is left as it is" in said
    assert "root" not in guided.run("find /var/lib/kaged /etc/kaged/env -printf '%u '")
    assert guided.run("kaged --mode=system session list bakery") == before
    assert guided.run("kaged session send bakery 'run: cat made && echo there' --wait", account="kaged").count("there")
    assert status(guided, nonce(guided)) == "200"


def test_its_cookie_secret_has_a_length_that_oauth2_proxy_takes(guided: Machine) -> None:
    command = re.search(r'cookie_secret\((python3 -c ".*?")\)', TEXT)
    assert command is not None
    assert len(guided.run(command[1]).strip()) == 43
