"""Where things are: the mode, the files, the folders, and the address."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaged.core.errors import ConfigError
from kaged.settings import paths
from kaged.settings.paths import parse_bind


def test_user_paths_follow_xdg() -> None:
    environ = {
        "HOME": "/home/ada",
        "XDG_CONFIG_HOME": "/cfg",
        "XDG_DATA_HOME": "/data",
        "XDG_RUNTIME_DIR": "/run/user/7",
    }
    root = Path("/")
    assert paths.choose_file(None, "user", environ, root) == Path("/cfg/kaged/config.toml")
    home = paths.default_home("user", environ, root)
    assert home == Path("/data/kaged")
    assert paths.runtime_dir("user", environ, home, root) == Path("/run/user/7/kaged")


def test_relative_xdg_values_are_ignored() -> None:
    environ = {"HOME": "/home/ada", "XDG_CONFIG_HOME": "cfg", "XDG_DATA_HOME": "d", "XDG_RUNTIME_DIR": "r"}
    root = Path("/")
    assert paths.choose_file(None, "user", environ, root) == Path("/home/ada/.config/kaged/config.toml")
    home = paths.default_home("user", environ, root)
    assert home == Path("/home/ada/.local/share/kaged")
    assert paths.runtime_dir("user", environ, home, root) == home / "run"


def test_system_paths_and_the_folders_that_systemd_names() -> None:
    root = Path("/")
    assert paths.choose_file(None, "system", {}, root) == Path("/etc/kaged/config.toml")
    assert paths.choose_file(None, "system", {"KAGED_CONFIG_DIR": "/opt/k"}, root) == Path("/opt/k/config.toml")
    home = paths.default_home("system", {}, root)
    assert paths.runtime_dir("system", {}, home, root) == Path("/run/kaged")
    assert paths.runtime_dir("system", {"RUNTIME_DIRECTORY": "/run/k2:/run/x"}, home, root) == Path("/run/k2")


def test_a_runtime_folder_too_long_for_sockets_is_refused() -> None:
    with pytest.raises(ConfigError, match="XDG_RUNTIME_DIR"):
        paths.runtime_dir("user", {"XDG_RUNTIME_DIR": "/r" * 60}, Path("/h"), Path("/"))


def test_without_home_the_account_decides() -> None:
    import os
    import pwd

    assert paths.user_home({}) == Path(pwd.getpwuid(os.getuid()).pw_dir)


def test_everything_lies_in_its_folder() -> None:
    value = paths.Paths(Path("/c/config.toml"), Path("/h"), Path("/r"), Path("/h/kaged.db"), Path("/h/audit.log"))
    assert [p.parent for p in (value.local_file, value.env_file)] == [Path("/c")] * 2
    sockets = (value.auth_cookie, value.launch_url, value.control_socket, value.keeper_socket)
    assert [p.parent for p in sockets] == [Path("/r")] * 4
    assert [p.parent for p in (value.projects_dir, value.lock_file, value.port_file)] == [Path("/h")] * 3


def test_a_client_finds_the_runtime_folder_without_checking_the_configuration(tmp_path: Path) -> None:
    file, root = tmp_path / "config.toml", Path("/")
    environ = {"HOME": "/home/ada"}
    usual = Path("/home/ada/.local/share/kaged/run")
    assert paths.find_runtime("user", file, environ, root) == usual
    for text in ("nonsense", "daemon = 3", "[daemon]\nhome = 3", '[daemon]\nhome = ""', '[daemon]\nhome = "x"'):
        file.write_text(text)
        assert paths.find_runtime("user", file, environ, root) == usual
    file.write_text('[daemon]\nhome = "/srv/k"\n[wrong]\n')
    assert paths.find_runtime("user", file, environ, root) == Path("/srv/k/run")
    assert paths.find_runtime("user", file, environ | {"KAGED_HOME": "/h"}, root) == Path("/h/run")
    assert paths.find_runtime("user", file, environ | {"XDG_RUNTIME_DIR": "/r"}, root) == Path("/r/kaged")
    assert paths.find_runtime("system", file, environ, root) == Path("/run/kaged")


@pytest.mark.parametrize(
    ("text", "host", "port", "local"),
    [
        ("127.0.0.1:7777", "127.0.0.1", 7777, True),
        ("127.8.9.1:0", "127.8.9.1", 0, True),
        ("localhost:80", "127.0.0.1", 80, True),
        ("[::1]:7777", "::1", 7777, True),
        ("0.0.0.0:7777", "0.0.0.0", 7777, False),
        ("[::]:7777", "::", 7777, False),
        ("192.0.2.7:1", "192.0.2.7", 1, False),
        ("kaged.example.com:443", "kaged.example.com", 443, False),
    ],
)
def test_host_and_port(text: str, host: str, port: int, local: bool) -> None:
    bind = parse_bind(text)
    assert (bind.host, bind.port, bind.is_local) == (host, port, local)
    assert parse_bind(str(bind)) == bind


def test_a_socket_is_local() -> None:
    bind = parse_bind("unix:/run/kaged/http.sock")
    assert str(bind.unix) == "/run/kaged/http.sock"
    assert bind.is_local
    assert str(bind) == "unix:/run/kaged/http.sock"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "has no port"),
        ("127.0.0.1", "has no port"),
        (":7777", "has no port"),
        ("127.0.0.1:", "not a port number"),
        ("127.0.0.1:70000", "not a port number"),
        ("127.0.0.1:²", "not a port number"),
        ("127.0.0.1:-1", "not a port number"),
        ("::1:7777", "brackets"),
        ("[127.0.0.1]:1", "not an IPv6 address"),
        ("300.1.1.1:1", "neither an address"),
        ("bad host:1", "neither an address"),
        ("unix:relative", "absolute"),
        ("unix:" + "/x" * 60, "longer than the kernel"),
        ("unix:/a\0b", "NUL"),
    ],
)
def test_refusals_say_what_is_allowed(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match="allowed") as caught:
        parse_bind(text)
    assert sentence in str(caught.value)


@given(st.text(max_size=40))
def test_any_text_is_a_bind_or_a_sentence(text: str) -> None:
    try:
        bind = parse_bind(text)
    except ValueError as error:
        assert "allowed" in str(error)
    else:
        assert parse_bind(str(bind)) == bind
