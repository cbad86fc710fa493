"""What this machine offers a cage: read once, so that everything after it is a pure function."""

import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import get_args

from kaged.cage.seccomp import Machine
from kaged.core.errors import KagedError

OLDEST_PYTHON = (3, 9)
SYSTEM_PYTHON = Path("/usr/bin/python3")
BASE_DIRS = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
ETC_NAMES = (  # what of /etc exists inside; never a folder that holds private keys beside public ones
    "alternatives", "ca-certificates", "ca-certificates.conf", "pki/ca-trust", "pki/tls/cert.pem", "pki/tls/certs",
    "pki/tls/openssl.cnf", "ssl/cert.pem", "ssl/certs", "ssl/openssl.cnf", "ld.so.cache", "ld.so.conf",
    "ld.so.conf.d", "localtime", "timezone", "mime.types", "os-release", "protocols", "services", "rpc", "shells",
    "terminfo", "host.conf", "gitconfig",
)  # fmt: skip
ETC_GLOBS = ("python3*", "java-*-openjdk")
CA_NAMES = (  # where distributions keep the one file with all certificate authorities
    "ssl/certs/ca-certificates.crt", "ssl/cert.pem", "pki/tls/cert.pem", "pki/tls/certs/ca-bundle.crt",
    "pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "ca-certificates/extracted/tls-ca-bundle.pem",
)  # fmt: skip
NEEDED_OPTIONS = frozenset({"--args", "--unshare-user", "--seccomp", "--info-fd", "--perms", "--clearenv"})


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What a plan depends on. `base` lists the system's top-level directories, with the target of a link."""

    machine: Machine
    bwrap: str
    options: frozenset[str]
    base: tuple[tuple[str, str | None], ...]
    etc: tuple[str, ...]
    shell: str
    python: str  # the interpreter that runs inside
    python_prefix: str | None  # the folder to bind for it; None when /usr holds it
    init: str
    ca_files: tuple[str, ...]  # lists of certificate authorities, as they are seen inside
    java: bool
    memory_bytes: int
    bytecode: bool = False  # whether `python` takes what this process's Python compiled


@cache
def host_facts() -> HostFacts:
    """Look at the machine, once. Raises `KagedError("unavailable")` without bubblewrap or on an odd processor."""
    machine = platform.machine()
    if machine not in get_args(Machine):
        known = " and ".join(get_args(Machine))
        raise KagedError("unavailable", f"cages need {known}; this machine is {machine}")
    bwrap = shutil.which("bwrap", path="/usr/bin:/bin:/usr/local/bin:/run/current-system/sw/bin")
    if bwrap is None:
        raise KagedError("unavailable", "bubblewrap (bwrap) is not installed; install the package bubblewrap")
    python, prefix, bytecode = interpreter()
    etc = _etc_entries(Path("/etc"))
    return HostFacts(
        machine="x86_64" if machine == "x86_64" else "aarch64", bwrap=bwrap, options=_options(bwrap),
        base=_base_dirs(Path("/")), etc=etc, shell="/bin/bash" if Path("/bin/bash").exists() else "/bin/sh",
        python=python, python_prefix=prefix, ca_files=_ca_files(Path("/etc"), etc),
        init=str(Path(__file__).resolve().parent.parent / "inside" / "init.py"),
        java=shutil.which("java", path="/usr/local/bin:/usr/bin:/bin") is not None,
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), bytecode=bytecode,
    )  # fmt: skip


def _options(bwrap: str) -> frozenset[str]:
    done = subprocess.run([bwrap, "--help"], capture_output=True, text=True, check=False, timeout=10)
    options = frozenset(re.findall(r"^\s+(--[a-z0-9-]+)", done.stdout + done.stderr, re.M))
    if os.statvfs("/proc/sys").f_flag & os.ST_RDONLY:  # in containers; the filter forbids namespaces in any case
        options -= {"--disable-userns"}
    if missing := NEEDED_OPTIONS - options:
        words = f"{bwrap} is too old: it lacks {', '.join(sorted(missing))}"
        raise KagedError("unavailable", f"{words}; install bubblewrap 0.5 or later")
    return options


def _base_dirs(root: Path) -> tuple[tuple[str, str | None], ...]:
    paths = [root / name for name in BASE_DIRS]
    links = {path: str(path.readlink()) for path in paths if path.is_symlink()}
    return tuple((f"/{path.name}", links.get(path)) for path in paths if path in links or path.is_dir())


def _etc_entries(etc: Path) -> tuple[str, ...]:
    names = {name for name in ETC_NAMES if (etc / name).exists()}
    names |= {path.name for pattern in ETC_GLOBS for path in etc.glob(pattern)}
    return tuple(sorted(names))


def _ca_files(etc: Path, entries: tuple[str, ...]) -> tuple[str, ...]:
    """Real files, for no mount goes over a link; an entry bound by itself is a real one inside."""
    paths = [etc / name if name in entries else (etc / name).resolve() for name in CA_NAMES]
    inside = [path for path in paths if any(path.is_relative_to(etc / name) for name in entries)]
    return tuple(dict.fromkeys(str(path) for path in inside if path.is_file()))


def interpreter(system: Path = SYSTEM_PYTHON) -> tuple[str, str | None, bool]:
    """The Python for inside (the system's, or our own if it is too old), its folder, and whether it takes our code."""
    named = re.fullmatch(r"python3\.([0-9]+)", system.resolve().name) if system.exists() else None
    if named is not None and (3, int(named[1])) >= OLDEST_PYTHON:
        return str(system), None, (3, int(named[1])) == sys.version_info[:2]
    prefix = Path(sys.base_prefix).resolve()
    own = prefix / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    if not own.exists():
        words = f"{SYSTEM_PYTHON} is missing or older than 3.9 and {own} does not exist"
        raise KagedError("unavailable", f"cages need a Python of their own: {words}; install the package python3")
    return str(own), None if prefix.is_relative_to("/usr") else str(prefix), True
