"""What is read from the machine."""

import os
import sys
from pathlib import Path

import pytest

from kaged.cage import host
from kaged.core.errors import KagedError


def test_this_machine() -> None:
    facts = host.host_facts()
    assert Path(facts.python).exists() and Path(facts.bwrap).exists()
    assert facts.options >= {"--args", "--seccomp"}
    assert "shadow" not in facts.etc and "ssl" not in facts.etc
    assert facts.memory_bytes > 64 * 1024**2
    assert all(Path(path).is_file() and not Path(path).is_symlink() for path in facts.ca_files)


@pytest.mark.parametrize(
    ("target", "own"), [("python3.8", True), ("python3.9", False), ("python3.13", False), (None, True), ("odd", True)]
)
def test_the_systems_python_is_taken_when_new_enough(tmp_path: Path, target: str | None, own: bool) -> None:
    system = tmp_path / "python3"
    if target is not None:
        (tmp_path / target).touch()
        system.symlink_to(tmp_path / target)
    python, prefix, bytecode = host.interpreter(system)
    assert bytecode == (own or target == f"python3.{sys.version_info.minor}")
    if own:
        assert Path(python).is_relative_to(Path(sys.base_prefix).resolve()) and Path(python).exists()
        assert prefix is None or Path(python).is_relative_to(prefix)
    else:
        assert (python, prefix) == (str(system), None)


def test_an_old_bubblewrap_is_refused_by_name(tmp_path: Path) -> None:
    program = tmp_path / "bwrap"
    program.write_text("#!/bin/sh\necho '    --args FD   x'\necho '    --seccomp FD   x'\n")
    program.chmod(0o755)
    with pytest.raises(KagedError, match=r"too old: it lacks .*--perms.*install bubblewrap 0\.5"):
        host._options(str(program))


@pytest.mark.parametrize(("flags", "kept"), [(os.ST_RDONLY, False), (0, True)])
def test_bubblewraps_own_ban_on_namespaces_needs_a_writable_proc(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, flags: int, kept: bool
) -> None:
    program = tmp_path / "bwrap"
    told = "".join(f"    {option}\n" for option in ("--disable-userns", *host.NEEDED_OPTIONS))
    program.write_text(f"#!/bin/sh\ncat <<'X'\n{told}X\n")
    program.chmod(0o755)
    monkeypatch.setattr(os, "statvfs", lambda path: os.statvfs_result((0,) * 8 + (flags, 0)))
    assert ("--disable-userns" in host._options(str(program))) is kept


def test_old_layouts_keep_their_folders(tmp_path: Path) -> None:
    (tmp_path / "bin").symlink_to("usr/bin")
    (tmp_path / "lib64").mkdir()
    assert host._base_dirs(tmp_path) == (("/bin", "usr/bin"), ("/lib64", None))


def test_private_keys_of_the_system_are_left_out(tmp_path: Path) -> None:
    for name in ("ssl/certs", "ssl/private", "pki/ca-trust", "pki/tls/private", "python3.11", "shadow"):
        (tmp_path / name).mkdir(parents=True)
    assert host._etc_entries(tmp_path) == ("pki/ca-trust", "python3.11", "ssl/certs")


def test_lists_of_authorities_are_found_where_mounts_can_go(tmp_path: Path) -> None:
    for name in ("ssl/certs/ca-certificates.crt", "pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "hidden/x.pem"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "pki/tls/certs").mkdir(parents=True)
    (tmp_path / "pki/tls/certs/ca-bundle.crt").symlink_to("../../ca-trust/extracted/pem/tls-ca-bundle.pem")
    (tmp_path / "pki/tls/cert.pem").symlink_to("certs/ca-bundle.crt")
    (tmp_path / "ssl/cert.pem").symlink_to("../hidden/x.pem")
    found = host._ca_files(tmp_path, ("pki/ca-trust", "pki/tls/cert.pem", "pki/tls/certs", "ssl/certs"))
    assert [str(Path(path).relative_to(tmp_path)) for path in found] == [
        "ssl/certs/ca-certificates.crt",
        "pki/tls/cert.pem",
        "pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    ]


def test_missing_bubblewrap_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host.shutil, "which", lambda *_, **__: None)
    with pytest.raises(KagedError, match=r"bwrap.*is not installed"):
        host.host_facts.__wrapped__()


def test_other_processors_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host.platform, "machine", lambda: "riscv64")
    with pytest.raises(KagedError, match="x86_64 and aarch64; this machine is riscv64"):
        host.host_facts.__wrapped__()
