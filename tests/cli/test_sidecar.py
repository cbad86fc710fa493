"""sidecar init: what it writes, asks, refuses and leaves alone."""

import json
import os
import pty
import stat
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from kaged.sidecars.recipes import RECIPES, needs
from kaged.sidecars.values import FIELDS

NONCE = "f3a91c0b7d5e4826b0c4d8e17a6f92035b8c1d4e7f609a3b2c5d8e1f4a7b0c3d"
GIVEN = {
    "public_url": "https://agents.example.org", "auth_url": "https://login.example.org", "client_id": "k1",
    "issuer": "https://idp.example.org", "domains": "example.org,b.example", "github_org": "bakery",
    "upstream": "127.0.0.1:7799",
}  # fmt: skip
ALL = [(name, variant) for name, variants in RECIPES.items() for variant in variants]


@pytest.fixture
def told(environ: Path) -> list[str]:
    """Every option, with a nonce and a client secret in files."""
    (environ / "env").write_text(f"# ours\nOTHER=1\nKAGED_AUTH_SIDECAR_NONCE={NONCE}\n")
    (environ / "secret").write_text("s3cret-of-ours\n")
    options = [f"--{name.replace('_', '-')}={value}" for name, value in GIVEN.items()]
    return [*options, f"--client-secret-file={environ / 'secret'}", f"--nonce-file={environ / 'env'}"]


@pytest.mark.parametrize(("name", "variant"), ALL)
def test_every_set_up_is_written_filled_in(run: Any, environ: Path, told: list[str], name: str, variant: str) -> None:
    result = run("sidecar", "init", name, "--variant", variant, "--dir", str(environ / "out"), *told, "--json")
    assert (result.code, result.err) == (0, "")
    data = json.loads(result.out)
    assert data["folder"] == str(environ / "out")
    assert data["commands"][0] == f"cd {environ / 'out'}"
    assert len(data["commands"]) > 1
    written = {file["path"] for file in data["files"]}
    assert written == {str(file) for file in (environ / "out").rglob("*") if file.is_file()}
    whole = ""
    for file in data["files"]:
        text = Path(file["path"]).read_text(encoding="utf-8")
        whole += text
        mode = stat.S_IMODE(Path(file["path"]).stat().st_mode)
        assert mode & 0o077 == 0 if file["secret"] else mode & 0o600 == 0o600
        assert file["secret"] or (NONCE not in text and "s3cret-of-ours" not in text)
    needed = needs(RECIPES[name][variant])
    for value in (FIELDS[field].example for field in needed if field in GIVEN and field != "client_id"):
        assert value not in whole, "an example is left"
    assert ("s3cret-of-ours" in whole) == ("client_secret" in needed)
    assert (NONCE in whole) == ("nonce" in needed)
    assert "REPLACE_ME" not in whole.replace('admins = ["REPLACE_ME"]', "")


def test_what_it_prints_for_people(run: Any, environ: Path, told: list[str]) -> None:
    result = run("sidecar", "init", "nginx", "--dir", str(environ / "out"), *told)
    assert f"  {environ}/out/kaged-nonce.conf   (secret, 0600)\n" in result.out
    assert f"  {environ}/out/kaged.conf\n" in result.out
    assert f"next\n  cd {environ}/out\n  sudo useradd" in result.out
    assert NONCE not in result.out + result.err


def test_secrets_are_new_each_time_and_of_the_right_form(run: Any, environ: Path, told: list[str]) -> None:
    import base64

    cookies = set()
    for folder in ("a", "b"):
        assert run("sidecar", "init", "oauth2-proxy", "--dir", str(environ / folder), *told).code == 0
        config = tomllib.loads((environ / folder / "oauth2-proxy.cfg").read_text())
        cookies.add(config["cookie_secret"])
        assert len(base64.urlsafe_b64decode(config["cookie_secret"] + "=")) == 32
    assert len(cookies) == 2
    assert run("sidecar", "init", "pomerium", "--dir", str(environ / "p"), *told).code == 0
    config = yaml.safe_load((environ / "p" / "config.yaml").read_text())
    keys = [base64.b64decode(config[name], validate=True) for name in ("shared_secret", "cookie_secret")]
    assert [len(key) for key in keys] == [32, 32] and keys[0] != keys[1]


def test_defaults_come_from_the_configuration(run: Any, environ: Path, told: list[str]) -> None:
    folder = environ / "cfg" / "kaged"
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text('[daemon]\nbind = "127.0.0.1:7654"\npublic_url = "https://from.example.net"\n')
    (folder / "env").write_text(f"KAGED_AUTH_SIDECAR_NONCE='{NONCE}'\n")
    less = [option for option in told if option.split("=")[0] not in ("--public-url", "--upstream", "--nonce-file")]
    assert run("--mode=user", "sidecar", "init", "nginx", "--dir", str(environ / "out"), *less).code == 0
    config = (environ / "out/kaged.conf").read_text()
    assert "server_name from.example.net;" in config and "proxy_pass http://127.0.0.1:7654;" in config
    assert NONCE in (environ / "out/kaged-nonce.conf").read_text()


def test_nothing_is_overwritten_and_nothing_half_written(run: Any, environ: Path, told: list[str]) -> None:
    out = environ / "out"
    out.mkdir()
    (out / "oauth2-proxy.cfg").symlink_to(environ / "nowhere")
    result = run("sidecar", "init", "nginx", "--dir", str(out), *told)
    assert result.code == 1
    assert f"{out}/oauth2-proxy.cfg is there already and stays as it is; move it away, or write elsewhere" in result.err
    assert [file.name for file in out.iterdir()] == ["oauth2-proxy.cfg"]
    assert not (environ / "nowhere").exists()
    (out / "oauth2-proxy.cfg").unlink()
    assert run("sidecar", "init", "nginx", "--dir", str(out), *told).code == 0
    before = {file: file.read_bytes() for file in out.rglob("*") if file.is_file()}
    assert run("sidecar", "init", "nginx", "--dir", str(out), *told).code == 1
    assert before == {file: file.read_bytes() for file in out.rglob("*") if file.is_file()}


def test_a_folder_that_cannot_be_made(run: Any, environ: Path, told: list[str]) -> None:
    result = run("sidecar", "init", "nginx", "--dir", str(environ / "secret" / "x"), *told)
    assert result.code == 1
    assert "name another folder with --dir" in result.err and "Traceback" not in result.err


def test_without_a_terminal_each_missing_option_is_named(run: Any, environ: Path) -> None:
    result = run("sidecar", "init", "oauth2-proxy", "--dir", str(environ / "out"))
    assert result.code == 2
    for option in ("--public-url", "--issuer", "--client-id", "--client-secret-file", "--domains"):
        assert f"{option} (" in result.err
    assert "--upstream" not in result.err and "--auth-url" not in result.err
    assert not (environ / "out").exists()


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ("--public-url=http://x.example.com", "--public-url: 'http://x.example.com' cannot be used; allowed: https://"),
        ("--domains=*", "--domains: '*' cannot be used; allowed: domains such as example.com"),
        ("--client-id=a;b", "--client-id: 'a;b' cannot be used"),
        ("--upstream=127.0.0.1:7777/x", "--upstream: "),
        ("--variant=saml", "--variant: nginx has these: oauth2-proxy (the first is the default)"),
    ],
)
def test_a_value_that_cannot_be_used(run: Any, environ: Path, told: list[str], option: str, sentence: str) -> None:
    result = run("sidecar", "init", "nginx", "--dir", str(environ / "out"), *told, option)
    assert result.code == 2
    assert sentence in result.err
    assert not (environ / "out").exists()


def test_a_secret_that_cannot_be_used_is_not_shown(run: Any, environ: Path, told: list[str]) -> None:
    (environ / "secret").write_text('topsecret"\n')
    result = run("sidecar", "init", "nginx", "--dir", str(environ / "out"), *told)
    assert result.code == 2
    assert "--client-secret-file: this value cannot be used" in result.err and "topsecret" not in result.err


def test_a_secret_that_is_no_text(run: Any, environ: Path, told: list[str]) -> None:
    (environ / "secret").write_bytes(b"\xff\xfe")
    result = run("sidecar", "init", "nginx", "--dir", str(environ / "out"), *told)
    assert (result.code, "Traceback" in result.err) == (2, False)


@pytest.mark.parametrize(("text", "code", "sentence"), [
    (None, 1, "No such file or directory, and these files hold the nonce; run this with sudo, or make one as root"),
    ("X=1\n", 1, "has no KAGED_AUTH_SIDECAR_NONCE, and these files hold it"),
    ("KAGED_AUTH_SIDECAR_NONCE=short\n", 2, "--nonce-file: this value cannot be used"),
])  # fmt: skip
def test_no_nonce(run: Any, environ: Path, told: list[str], text: str | None, code: int, sentence: str) -> None:
    (environ / "env").unlink()
    if text is not None:
        (environ / "env").write_text(text)
    result = run("sidecar", "init", "pomerium", "--dir", str(environ / "out"), *told)
    assert (result.code, sentence in result.err) == (code, True), result.err
    assert not (environ / "out").exists()


def test_two_names_that_do_not_go_together(run: Any, environ: Path, told: list[str]) -> None:
    result = run(
        "sidecar", "init", "authelia", "--dir", str(environ / "out"), *told, "--auth-url=https://auth.example.net"
    )
    assert result.code == 2
    assert "must be two names below one domain" in result.err


def test_an_unknown_sidecar(run: Any) -> None:
    result = run("sidecar", "init", "envoy")
    assert result.code == 2
    assert "'oauth2-proxy', 'pomerium'" in result.err


def test_on_a_terminal_it_asks_for_what_is_missing(environ: Path) -> None:
    """A real process on a real terminal; a wrong answer is said and asked again, the secret is not shown."""
    master, slave = pty.openpty()
    command = [
        sys.executable,
        "-m",
        "kaged.cli",
        "sidecar",
        "init",
        "oauth2-proxy",
        "--variant",
        "google",
        "--dir",
        "out",
    ]
    process = subprocess.Popen(command, stdin=slave, stdout=subprocess.PIPE, stderr=slave, cwd=environ)
    os.close(slave)
    answers = {
        b"Address that people type": [b"kaged.example.org", b"https://kaged.example.org"],
        b"Client id": [b"abc"], b"Client secret": [b"very-secret"], b"E-mail domains": [b"example.org"],
    }  # fmt: skip
    seen, at = b"", 0
    try:
        for question, replies in answers.items():
            for reply in replies:
                while (found := seen.find(question, at)) < 0 or not seen[found:].rstrip(b" ").endswith(b":"):
                    seen += os.read(master, 1000)
                at = len(seen)
                os.write(master, reply + b"\n")
        assert process.stdout is not None
        out = process.stdout.read()
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.communicate()
        os.close(master)
    assert b"'kaged.example.org' cannot be used; allowed: https://" in seen
    assert b"very-secret" not in seen + out
    config = tomllib.loads((environ / "out/oauth2-proxy.cfg").read_text())
    assert config["email_domains"] == ["example.org"]
    (provider,) = yaml.safe_load((environ / "out/oauth2-proxy-alpha.yaml").read_text())["providers"]
    assert (provider["clientSecret"], provider["oidcConfig"]["issuerURL"]) == (
        "very-secret",
        "https://accounts.google.com",
    )
    assert (environ / "out/README.md").read_text().count("https://kaged.example.org")
