"""Listening: the exact port or its holder's name, the next free one, a socket that is nobody else's."""

import os
import socket
import stat
from pathlib import Path

import pytest

from kaged.core.errors import GateError
from kaged.daemon import ports


@pytest.fixture
def taken() -> socket.socket:
    """A port that this process holds."""
    with socket.create_server(("127.0.0.1", 0)) as it:
        yield it


def port_of(listener: socket.socket) -> int:
    number: int = listener.getsockname()[1]
    return number


def test_any_free_port() -> None:
    with ports.listen_fixed("127.0.0.1", 0) as listener:
        assert port_of(listener) > 0
        with socket.create_connection(listener.getsockname()):
            listener.accept()[0].close()


def test_version_six() -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    try:
        listener = ports.listen_fixed("::1", 0)
    except GateError:
        pytest.skip("no IPv6 loopback here")
    with listener:
        assert listener.family is socket.AF_INET6


def test_a_taken_port_names_its_holder_and_what_to_do(taken: socket.socket) -> None:
    port = port_of(taken)
    with pytest.raises(GateError) as refused:
        ports.listen_fixed("127.0.0.1", port)
    assert refused.value.gate == "bind"
    assert f"port {port}" in refused.value.problem
    assert f"(pid {os.getpid()})" in refused.value.problem
    assert f"kaged start --bind 127.0.0.1:{port + 1}" in refused.value.fix


def test_an_address_of_another_machine() -> None:
    with pytest.raises(GateError, match=r"192\.0\.2\.1:0 cannot be bound"):
        ports.listen_fixed("192.0.2.1", 0)


def test_the_next_free_port_is_taken_and_remembered(taken: socket.socket, tmp_path: Path) -> None:
    port, remembered = port_of(taken), tmp_path / "port"
    listener, note = ports.listen_near("127.0.0.1", port, remembered)
    with listener:
        chosen = port_of(listener)
        assert port < chosen < port + 50
        assert note is not None
        assert f"(pid {os.getpid()})" in note
        assert str(chosen) in note
        assert int(remembered.read_text(encoding="ascii")) == chosen


def test_the_remembered_port_comes_first(free_port: int, tmp_path: Path) -> None:
    remembered = tmp_path / "port"
    remembered.write_text(f"{free_port}\n", encoding="ascii")
    listener, _ = ports.listen_near("127.0.0.1", 1, remembered)
    with listener:
        assert port_of(listener) == free_port, "browsers signed in there stay signed in"


@pytest.mark.parametrize("text", ["", "x", "-1", "0", "65536", "99999999999"])
def test_a_damaged_memory_is_ignored(free_port: int, tmp_path: Path, text: str) -> None:
    remembered = tmp_path / "port"
    remembered.write_text(text, encoding="ascii")
    listener, note = ports.listen_near("127.0.0.1", free_port, remembered)
    with listener:
        assert (port_of(listener), note) == (free_port, None)
    assert not remembered.exists(), "the usual port needs no memory"


def test_nobody_holds_a_free_port(free_port: int) -> None:
    assert "pid" not in ports.holder(free_port)


def test_a_socket_of_its_own(short_tmp: Path) -> None:
    path = short_tmp / "new" / "http.sock"
    with ports.listen_socket(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
    assert path.is_socket(), "as a killed daemon leaves it"
    with ports.listen_socket(path), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def test_a_file_at_its_place_is_never_removed(short_tmp: Path) -> None:
    path = short_tmp / "precious"
    path.write_text("mine", encoding="ascii")
    with pytest.raises(GateError, match="is there already, and is no socket"):
        ports.listen_socket(path)
    assert path.read_text(encoding="ascii") == "mine"


def test_a_socket_that_somebody_listens_on_is_left_to_them(short_tmp: Path) -> None:
    path = short_tmp / "theirs"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        with pytest.raises(GateError, match="another process listens"):
            ports.listen_socket(path)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))


def test_a_folder_that_is_a_file(short_tmp: Path) -> None:
    (short_tmp / "file").touch()
    with pytest.raises(GateError, match="cannot be bound"):
        ports.listen_socket(short_tmp / "file" / "sock")
