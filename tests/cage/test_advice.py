"""Each way bubblewrap can refuse leads to one problem and one fix."""

from pathlib import Path

import pytest

from kaged.cage import advice
from kaged.cage.advice import explain_bwrap_failure, surroundings

APPARMOR_FILE = "/etc/apparmor.d/bwrap-kaged"
DOCKER_OPTIONS = " ".join(f"--security-opt {option}=unconfined" for option in ("seccomp", "apparmor", "systempaths"))
PODMAN_OPTIONS = "--security-opt seccomp=unconfined --security-opt unmask=ALL"
PLAIN = frozenset[str]()
UBUNTU = frozenset({"apparmor"})
CONTAINER = frozenset({"container", "apparmor"})
DOCS = Path(__file__).resolve().parents[2] / "docs" / "operators" / "cage.md"


@pytest.mark.parametrize(
    ("stderr", "around", "problem", "fix"),
    [
        ("bwrap: setting up uid map: Permission denied", UBUNTU, "AppArmor",
         f"apparmor_parser -r {APPARMOR_FILE}"),
        ("bwrap: loopback: Failed RTM_NEWADDR: Operation not permitted", UBUNTU, "AppArmor", APPARMOR_FILE),
        ("bwrap: setting up uid map: Permission denied", CONTAINER, "container", DOCKER_OPTIONS),
        ("bwrap: No permissions to create new namespace, likely because the kernel does not allow", CONTAINER,
         "container", PODMAN_OPTIONS),
        ("bwrap: Creating new namespace failed: Operation not permitted", CONTAINER, "container",
         DOCKER_OPTIONS),
        ("bwrap: loopback: Failed RTM_NEWADDR: Operation not permitted", CONTAINER, "container",
         DOCKER_OPTIONS),
        ("bwrap: Can't mount proc on /newroot/proc: Operation not permitted", CONTAINER, "/proc",
         "systempaths"),
        ("bwrap: Can't mount proc on /newroot/proc: Operation not permitted", PLAIN, "/proc",
         "ProtectKernelTunables"),
        ("bwrap: No permissions to creating new namespace", frozenset({"root only"}), "root only",
         "kernel.unprivileged_userns_clone=1"),
        ("bwrap: Creating new namespace failed: No space left on device",
         frozenset({"no userns"}), "no user namespaces", "user.max_user_namespaces"),
        ("bwrap: Creating new namespace failed: Resource temporarily unavailable", PLAIN, "no room", "limit"),
        ("bwrap: Unexpected capabilities but not setuid, old file caps config?", PLAIN, "set-user-id",
         "chmod u-s"),
        ("bwrap: --userns-block-fd option is not supported in setuid mode", PLAIN, "set-user-id",
         "chmod u-s"),
        ("bwrap: Unknown option --perms", PLAIN, "too old", "0.5"),
        ("bubblewrap (bwrap) is not installed; install the package bubblewrap", PLAIN, "not installed",
         "apt-get install bubblewrap"),
        ("bwrap: prctl(PR_SET_SECCOMP): Invalid argument", PLAIN, "filter", "CONFIG_SECCOMP_FILTER"),
        ("bwrap: Can't find source path /srv/p/x: No such file or directory", PLAIN, "vanished", "try again"),
        ("bwrap: something nobody has seen", PLAIN, "something nobody has seen", "kaged doctor"),
        ("", PLAIN, "said nothing", "kaged doctor"),
    ],
)  # fmt: skip
def test_advice(stderr: str, around: frozenset[str], problem: str, fix: str) -> None:
    said, advised = explain_bwrap_failure(stderr, around)
    assert problem in said and fix in advised
    assert "\n" not in said + advised


def test_the_machine_is_looked_at(tmp_path: Path) -> None:
    assert surroundings(tmp_path) == PLAIN
    kernel, user = tmp_path / "proc/sys/kernel", tmp_path / "proc/sys/user"
    kernel.mkdir(parents=True)
    user.mkdir()
    (kernel / "apparmor_restrict_unprivileged_userns").write_text("1\n")
    (kernel / "unprivileged_userns_clone").write_text("0\n")
    (user / "max_user_namespaces").write_text("0\n")
    (tmp_path / ".dockerenv").touch()
    assert surroundings(tmp_path) == {"apparmor", "root only", "no userns", "container"}


def test_the_operators_page_says_the_same() -> None:
    text = DOCS.read_text()
    for needed in (
        "profile bwrap-kaged /usr/bin/bwrap flags=(unconfined)",
        APPARMOR_FILE,
        DOCKER_OPTIONS,
        PODMAN_OPTIONS,
    ):
        assert needed in text


def test_every_row_names_a_pattern_and_is_whole() -> None:
    table = advice._TABLE
    assert {row["said"] for row in table["rows"]} == set(table["said"])
    assert {row["fix"] for row in table["rows"]} >= set(table["fixes"])
    for row in table["rows"]:
        assert set(row) - {"where"} == {"said", "problem", "fix"}
        assert row.get("where", "container") in {"container", *advice._SWITCHES}
