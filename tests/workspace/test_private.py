"""Cloning what is not everybody's, with real git, TLS, ssh and servers: what is shown to whom, and each way to fail."""

import base64
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.servers import certificate, repository, sshd, web
from workspace.house import ADMIN, HOST, House, ended

TOKEN = "glpat-31415926535897932384"
LOGIN = f"Basic {base64.b64encode(f'deploy:{TOKEN}'.encode()).decode()}"

needs_sshd = pytest.mark.skipif(
    os.geteuid() != 0 or not Path("/usr/sbin/sshd").exists(), reason="openssh-server is not installed, or no root"
)
pytestmark = pytest.mark.cage


@pytest.fixture(autouse=True)
def cert(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A certificate that this machine trusts, as far as the keeper of the test can see."""
    file = certificate(tmp_path / "cert.pem", HOST)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    return file


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return repository(tmp_path / "git")


def everywhere(house: House, text: str) -> list[str]:
    """Files of the home, the configuration and the runtime folder, and processes, that hold a text."""
    folder, found = house.loaded.paths.home.parent.parent, []
    for path in folder.rglob("*"):
        if path.is_file() and path != house.loaded.paths.local_file and text.encode() in path.read_bytes():
            found.append(str(path))
    for process in Path("/proc").glob("[0-9]*"):
        for name in ("cmdline", "environ"):
            try:
                if process.name != str(os.getpid()) and text.encode() in (process / name).read_bytes():
                    found.append(str(process / name))
            except OSError:
                continue
    return found


async def test_a_token_reaches_its_host_and_nothing_else(house: House, repo: Path, cert: Path) -> None:
    at_work, seen_at = threading.Event(), []

    def look() -> None:
        if not at_work.is_set():
            at_work.set()
            seen_at.append([everywhere(house, text) for text in (TOKEN, LOGIN.partition(" ")[2])])

    with web(repo.parent, cert=cert, login=LOGIN, hold=look) as (port, asked):
        house.configure(f'[git."{HOST}:{port}"]\nuser = "deploy"\ntoken = {{ env = "GIT_TOKEN" }}\n')
        house.environ["GIT_TOKEN"] = TOKEN
        async with house.clones() as clones:
            clone = await ended(await clones.start(f"https://{HOST}:{port}/repo.git", None, ADMIN))
    assert (clone.state, clone.project, clone.problem) == ("done", "repo", None)
    assert (house.root / "repo/add.c").exists()
    assert len(asked) >= 2
    assert seen_at == [[[], []]], "while git was at work"
    assert [everywhere(house, text) for text in (TOKEN, LOGIN.partition(" ")[2])] == [[], []], "afterwards"
    assert f"url = https://{HOST}:{port}/repo.git" in (house.root / "repo/.git/config").read_text()


async def test_logins_that_are_missing_or_not_accepted(house: House, repo: Path, cert: Path) -> None:
    with web(repo.parent, cert=cert, login=LOGIN) as (port, _):
        url = f"https://{HOST}:{port}/repo.git"
        said = await house.problem(url)
        assert said == (
            f"Could not clone {url}: {HOST} wants a login, so the repository is private or does not exist; "
            f'put a token into `[git."{HOST}:{port}"]` in local.toml.'
        )
        house.configure(f'[git."{HOST}:{port}"]\ntoken = "{TOKEN[::-1]}"\n')
        said = await house.problem(url)
        assert f'{HOST} does not accept the login in `[git."{HOST}:{port}"]` in local.toml' in said
        assert everywhere(house, TOKEN[::-1]) == []
        house.configure(f'[git."{HOST}"]\nuser = "deploy"\ntoken = "{TOKEN}"\n')
        assert "wants a login" in await house.problem(url), "a token of another port is not shown"
        house.configure(f'[git."{HOST}:{port}"]\ntoken = {{ env = "NOT_THERE" }}\n')
        async with house.clones() as clones:
            with pytest.raises(Exception, match="has no value: set the variable that it names"):
                await clones.start(url, None, ADMIN)


async def test_what_is_not_there(house: House, repo: Path, cert: Path) -> None:
    with web(repo.parent, cert=cert) as (port, _):
        said = await house.problem(f"https://{HOST}:{port}/none.txt")
        assert f"{HOST} has no such repository, or keeps it from this login; check the URL and" in said
    said = await house.problem(f"https://{HOST}:{port}/repo.git")
    assert f"{HOST} cannot be reached on port {port} (Connection refused); check the URL and the network." in said
    said = await house.problem("https://git.invalid/shop.git")
    assert said == (
        "Could not clone https://git.invalid/shop.git: there is no host git.invalid; check the name and this "
        "machine's DNS."
    )


async def test_a_certificate_that_nobody_vouches_for(house: House, repo: Path, tmp_path: Path) -> None:
    other = certificate(tmp_path / "other.pem", HOST)
    with web(repo.parent, cert=other) as (port, asked):
        said = await house.problem(f"https://{HOST}:{port}/repo.git")
        assert f"the certificate of {HOST} is not valid (self-signed certificate); renew it there, or add" in said
        assert asked == []
    with web(repo.parent) as (port, _):
        assert f"{HOST} does not speak TLS on port {port}" in await house.problem(f"https://{HOST}:{port}/repo.git")


async def test_a_server_that_leads_elsewhere(house: House, repo: Path, tmp_path: Path) -> None:
    import http.server

    class Away(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(302)
            self.send_header("Location", f"http://elsewhere.example.com{self.path}")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Away) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            said = await house.problem(f"http://{HOST}:{server.server_port}/repo.git")
        finally:
            server.shutdown()
            thread.join()
    assert "it leads on to elsewhere.example.com; clone from the URL that it leads to." in said


@pytest.fixture
def small_root(house: House) -> Iterator[None]:
    """A disk of 200 kB for the projects."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    mount = ["mount", "-t", "tmpfs", "-o", "size=200k,mode=700", "tmpfs", str(house.root)]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("this root may not mount")
    yield
    subprocess.run(["umount", "--lazy", str(house.root)], check=True)


async def test_a_full_disk(house: House, repo: Path, cert: Path, small_root: None) -> None:
    import random

    work = repo.parent / "seed"
    (work / "noise").write_text(random.Random(1).randbytes(300_000).hex())
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.com"]
    subprocess.run([*git, "add", "noise"], cwd=work, check=True)
    subprocess.run([*git, "commit", "-qm", "noise"], cwd=work, check=True)
    subprocess.run([*git, "push", "-q", str(repo), "main"], cwd=work, check=True)
    with web(repo.parent, cert=cert) as (port, _):
        said = await house.problem(f"https://{HOST}:{port}/repo.git")
    assert f"there is no room left on the disk that holds {house.root}; make room and clone again." in said


def known(folder: Path, port: int) -> str:
    kind, blob, *_ = (folder / "host.pub").read_text().split()
    return f"[{HOST}]:{port} {kind} {blob}"


@needs_sshd
async def test_a_deploy_key_and_the_keys_of_hosts(house: House, repo: Path, short_tmp: Path) -> None:
    folder, config = short_tmp / "ssh", house.loaded.paths.config_dir
    with sshd(folder) as (port, key):
        url = f"ssh://root@{HOST}:{port}{repo}"
        shutil.copy(key, config / "deploy_key")
        house.configure(f'[git."{HOST}:{port}"]\nssh_key = "deploy_key"\n')

        said = await house.problem(url)
        line = known(folder, port)
        print_ = subprocess.run(["ssh-keygen", "-lf", folder / "host.pub"], capture_output=True, text=True, check=True)
        assert said == (
            f"Could not clone {url}: the key of {HOST} is new (ssh-ed25519 {print_.stdout.split()[1]}); compare it "
            f"with what the host's operator publishes, and if it is the same add to {config}/known_hosts `{line}`."
        )
        (config / "known_hosts").write_text(
            f"{line.rpartition(' ')[0]} {(folder / 'user.pub').read_text().split()[1]}\n"
        )
        said = await house.problem(url)
        assert f"the key of {HOST} is not the one in {config}/known_hosts (ssh-ed25519 SHA256:" in said
        assert "somebody may be in between" in said
        (config / "known_hosts").write_text(f"{line}\n")

        async with house.clones() as clones:
            clone = await ended(await clones.start(url, "mine", ADMIN))
        assert (clone.state, clone.project, clone.problem) == ("done", "mine", None)
        assert (house.root / "mine/add.c").exists()
        body = key.read_text().splitlines()[2]
        assert set(everywhere(house, body)) == {str(config / "deploy_key"), str(key)}

        said = await house.problem(f"ssh://root@{HOST}:{port}/none")
        assert f"{HOST} has no such repository" in said
    said = await house.problem(url)
    assert f"{HOST} cannot be reached on port {port} (Connection refused)" in said


@needs_sshd
async def test_keys_that_do_not_open(house: House, repo: Path, short_tmp: Path) -> None:
    config = house.loaded.paths.config_dir
    with sshd(short_tmp / "ssh") as (port, _):
        url = f"ssh://root@{HOST}:{port}{repo}"
        (config / "known_hosts").write_text(known(short_tmp / "ssh", port) + "\n")
        house.configure(f'[git."{HOST}:{port}"]\nssh_key = "{short_tmp}/other"\n')
        other = short_tmp / "other"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", other], check=True)
        said = await house.problem(url)
        assert f"{HOST} does not accept the ssh_key in" in said and "for the account root" in said
        subprocess.run(["ssh-keygen", "-q", "-p", "-N", "a passphrase", "-f", other], check=True)
        assert "put in a private key without a passphrase" in await house.problem(url)
        other.write_text("nonsense\n")
        assert "put in a private key without a passphrase" in await house.problem(url)
        other.chmod(0o644)
        for words in ("Other accounts can read the key", "cannot be read"):
            async with house.clones() as clones:
                with pytest.raises(Exception, match=words):
                    await clones.start(url, None, ADMIN)
            other.unlink(missing_ok=True)
