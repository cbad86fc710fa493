"""config.toml: the guide's file, precedence, and one good sentence for each mistake."""

import tomllib
from pathlib import Path

import default_config
import pytest

from kaged.core.errors import ConfigError
from kaged.settings.config import ENVIRONMENT, Flags, Loaded, load, scrub_environ

GUIDE = """[daemon]
bind = "127.0.0.1:7777"
home = "/var/lib/kaged"
[auth]
mode = "secure"
[storage]
url = "sqlite:///var/lib/kaged/kaged.db"
[sandbox]
mode = "enabled"
default_seccomp = "default"
[logging]
operational = "stderr"
audit = "file:/var/lib/kaged/audit.log"
level = "info"
[plugins]
dir = "/var/lib/kaged/plugins"
enabled = []
[ui]
serve = true
"""


@pytest.fixture
def file(short_tmp: Path) -> Path:
    return short_tmp / "config.toml"


def read(file: Path, text: str, environ: dict[str, str] | None = None, **flags: object) -> Loaded:
    file.write_text(text)
    environ = {"HOME": str(file.parent)} | (environ or {})
    return load(flags=Flags(config=file, **flags), environ=environ, root=file.parent)


def refused(file: Path, text: str, environ: dict[str, str] | None = None, **flags: object) -> str:
    with pytest.raises(ConfigError) as caught:
        read(file, text, environ, **flags)
    return str(caught.value)


def test_the_deployment_guides_file_loads_byte_for_byte(file: Path) -> None:
    loaded = read(file, GUIDE, mode="system")
    assert loaded.mode == "system"
    assert loaded.config.daemon.address.port == 7777
    assert loaded.paths.home == Path("/var/lib/kaged")
    assert loaded.paths.database == Path("/var/lib/kaged/kaged.db")
    assert loaded.paths.audit_log == Path("/var/lib/kaged/audit.log")
    assert loaded.paths.runtime == file.parent / "run/kaged"
    assert loaded.config.terminals.host is False
    assert loaded.config.projects.roots == [Path("/var/lib/kaged/projects")]
    assert loaded.sources["daemon.home"] == "config.toml:3"
    assert loaded.sources["ui.url"] == "default"


def test_flags_beat_environment_beats_file_beats_default(file: Path) -> None:
    text = '[daemon]\nbind = "127.0.0.1:1"\n'
    environ = {"KAGED_BIND": "127.0.0.1:2"}
    assert read(file, "").config.daemon.bind == "127.0.0.1:7777"
    assert read(file, text).config.daemon.bind == "127.0.0.1:1"
    assert read(file, text).sources["daemon.bind"] == "config.toml:2"
    assert read(file, text, environ).config.daemon.bind == "127.0.0.1:2"
    assert read(file, text, environ).sources["daemon.bind"] == "env KAGED_BIND"
    flagged = read(file, text, environ, bind="127.0.0.1:3", insecure=True)
    assert flagged.config.daemon.bind == "127.0.0.1:3"
    assert flagged.sources["daemon.bind"] == "flag"
    assert flagged.config.insecure
    assert flagged.sources["auth.mode"] == "flag"


def test_every_environment_name_reaches_its_key(file: Path) -> None:
    values = {
        "KAGED_BIND": "127.0.0.1:9",
        "KAGED_HOME": "/srv/kaged",
        "KAGED_PUBLIC_URL": "https://kaged.example.com",
        "KAGED_LOGOUT_URL": "/oauth2/sign_out",
        "KAGED_LOG_LEVEL": "debug",
    }
    assert set(values) == set(ENVIRONMENT)
    entries = {key: (str(value), source) for key, value, source in read(file, "", values).entries()}
    for name, (section, key) in ENVIRONMENT.items():
        assert entries[f"{section}.{key}"] == (values[name], f"env {name}")


def test_all_mistakes_come_in_one_message_with_line_key_and_what_is_allowed(file: Path) -> None:
    message = refused(
        file,
        '[daemon]\nbnd = "x"\nhome = "here"\n\n[auth]\nmode = "open"\n[limits]\nkeeper_grace_s = true\n'
        "message_bytes = 3\n[logging]\nlevel = 7\n[loging]\n",
    ).splitlines()
    assert message == [
        "config.toml:3: daemon.home: must be an absolute path",
        'config.toml:2: daemon.bnd: is not a key that kaged knows; did you mean "bind"?; '
        "allowed: bind, home, public_url",
        "config.toml:6: auth.mode: 'open' is not allowed; allowed: 'secure' or 'insecure'",
        "config.toml:11: logging.level: 7 is not allowed; allowed: 'debug', 'info', 'warn' or 'error'",
        "config.toml:8: limits.keeper_grace_s: true is not allowed; expected a whole number",
        "config.toml:9: limits.message_bytes: 3 is out of range; allowed: at least 1024",
        'config.toml:12: loging: is not a key that kaged knows; did you mean "logging"?; allowed: daemon, '
        "auth, storage, sandbox, logging, plugins, ui, projects, terminals, notifications, limits",
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[auth.sharedsso]\nenabled = true", "config.toml:1: auth.sharedsso: shared sign-on is not supported"),
        ("[retention]\ndays = 3", "config.toml:1: retention: retention is not supported by this version"),
        ('[plugins]\nenabled = ["x"]', "config.toml:2: plugins.enabled: plugins are not supported"),
        ('[storage]\nurl = "postgresql://db/kaged"', "config.toml:2: storage.url: PostgreSQL is not supported"),
        ('[storage]\nurl = "sqlite://relative"', 'storage.url: allowed: "sqlite:///absolute'),
        ('[sandbox]\nmode = "disabled"', "config.toml:2: sandbox.mode: running without cages is not supported"),
        ('[logging]\noperational = "file:x"', 'logging.operational: allowed: "stderr" or'),
        ('[logging]\naudit = "stderr"', 'logging.audit: allowed: "file:/absolute/path"'),
        ('[daemon]\nbind = "7777"', "daemon.bind: '7777' has no port; allowed: \"127.0.0.1:7777\""),
        ('[auth]\nlogout_url = "javascript:alert(1)"', "is no place to sign out at"),
        ('[auth]\nlogout_url = "//evil.example.com/x"', "is no place to sign out at"),
        ('[auth]\nlogout_url = "oauth2/sign_out"', "is no place to sign out at"),
        ('[daemon]\npublic_url = "kaged.example.com"', "daemon.public_url: must begin with https://"),
        ('[daemon]\npublic_url = "https://a@example.com"', "must have no user"),
        ('[daemon]\npublic_url = "https://example.com?x"', "query or fragment"),
        ('[daemon]\npublic_url = "https://exa mple.com"', "plain ASCII"),
        ('[daemon]\npublic_url = "https://example.com/a/../b"', "letters, digits"),
        ('[daemon]\npublic_url = "https://example.com//a"', "letters, digits"),
        ('[daemon]\npublic_url = "https://example.com/%2e"', "letters, digits"),
        ('[daemon]\npublic_url = "https://example.com:99999"', "allowed: an origin"),
        ('[ui]\nurl = "https://ui.example.com"', "config.toml:2: ui.url: a console served elsewhere is not supported"),
        ('[auth]\nadmins = ["a,b"]', "config.toml:2: auth.admins.0: 'a,b' is not a user id"),
        ('[auth]\nsidecar_peers = ["10.0.0.0/8"]', "auth.sidecar_peers.0: '10.0.0.0/8' is not a peer"),
        ('auth = "secure"', "config.toml:1: auth: 'secure' is not allowed; expected a table of keys"),
        ('[projects]\nroots = ["x"]', "projects.roots.0: must be an absolute path"),
        ('[terminals]\nhost = "yes"', "terminals.host: 'yes' is not allowed; expected true or false"),
        ("[daemon\n", "config.toml:1: is not valid TOML: Expected ']'"),
        ("a = ", "config.toml: is not valid TOML: Invalid value at its end"),
    ],
)
def test_each_mistake_has_its_sentence(file: Path, text: str, sentence: str) -> None:
    assert sentence in refused(file, text)


def test_a_wrong_variable_is_named_instead_of_the_file(file: Path) -> None:
    assert refused(file, "", {"KAGED_HOME": "x"}) == "env KAGED_HOME: daemon.home: must be an absolute path"
    assert "KAGED_MODE: 'both' is not a mode" in refused(file, "", {"KAGED_MODE": "both"})


def test_a_remote_bind_needs_its_flag_and_never_goes_with_insecure(file: Path) -> None:
    remote = '[daemon]\nbind = "0.0.0.0:7777"\n'
    message = refused(file, remote)
    assert "config.toml:2: daemon.bind: 0.0.0.0:7777 can be reached from other machines" in message
    assert "--allow-remote-bind" in message
    assert read(file, remote, allow_remote_bind=True).config.daemon.bind == "0.0.0.0:7777"
    assert "--allow-remote-bind: refused together with" in refused(file, remote, allow_remote_bind=True, insecure=True)
    assert "start with --allow-remote-bind" not in refused(file, remote, insecure=True)
    assert read(file, '[daemon]\nbind = "unix:/run/k.sock"\n', insecure=True).config.daemon.address.is_local


def test_a_public_url_may_have_a_path_and_loses_its_last_slash(file: Path) -> None:
    loaded = read(file, '[daemon]\npublic_url = "https://example.com/kaged/"\n')
    assert loaded.config.daemon.public_url == "https://example.com/kaged"


def test_empty_paths_mean_their_defaults(file: Path) -> None:
    text = '[daemon]\nhome = ""\n[plugins]\ndir = ""\n[storage]\nurl = ""\n[logging]\naudit = ""\n'
    loaded = read(file, text, {"XDG_DATA_HOME": "/data"})
    assert loaded.paths.home == Path("/data/kaged")
    assert loaded.sources["daemon.home"] == "default"
    assert loaded.config.plugins.dir == Path("/data/kaged/plugins")
    assert loaded.paths.database == Path("/data/kaged/kaged.db")
    assert loaded.config.terminals.host is True


def test_user_mode_writes_a_commented_default_file_once(short_tmp: Path) -> None:
    environ = {"HOME": str(short_tmp)}
    peek = load(flags=Flags(), environ=environ, root=short_tmp, write_default=False)
    assert not peek.paths.config_file.exists()
    loaded = load(flags=Flags(), environ=environ, root=short_tmp)
    assert loaded.paths.config_file == short_tmp / ".config/kaged/config.toml"
    assert loaded.paths.config_file.read_text() == default_config.text()
    assert set(loaded.sources.values()) == {"default"}
    loaded.paths.config_file.write_text("# mine\n")
    load(flags=Flags(), environ=environ, root=short_tmp)
    assert loaded.paths.config_file.read_text() == "# mine\n"


def test_the_default_file_shows_each_key_at_its_default(file: Path) -> None:
    text = default_config.text()
    assert default_config.FILE.read_text() == text, "run: python3 scripts/default_config.py"
    assert all(
        tomllib.loads(text)[section] == {} for section in {doc.section for doc in default_config.documented_keys()}
    )
    uncommented = "\n".join(line.removeprefix("#") if not line.startswith("# ") else "" for line in text.splitlines())
    assert read(file, uncommented).config == read(file, "").config
    assert {f"{doc.section}.{doc.key}" for doc in default_config.documented_keys()} == set(read(file, "").sources)
    assert all(doc.meaning for doc in default_config.documented_keys())


def test_a_named_file_must_exist_and_be_readable_text(file: Path, short_tmp: Path) -> None:
    for flags, environ in [
        (Flags(config=file), {}),
        (Flags(), {"KAGED_CONFIG": str(file)}),
        (Flags(mode="system"), {}),
    ]:
        with pytest.raises(ConfigError, match="there is no such file"):
            load(flags=flags, environ={"HOME": str(short_tmp)} | environ, root=short_tmp)
    file.write_bytes(b"a = '\xff'")
    with pytest.raises(ConfigError, match="is not UTF-8 text"):
        load(flags=Flags(config=file), environ={}, root=short_tmp)
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load(flags=Flags(config=short_tmp), environ={}, root=short_tmp)


def test_a_default_file_that_cannot_be_written_is_explained(short_tmp: Path) -> None:
    (short_tmp / ".config").symlink_to("/proc/1/attr")
    with pytest.raises(ConfigError, match="cannot be written"):
        load(flags=Flags(), environ={"HOME": str(short_tmp)}, root=short_tmp)


def test_system_mode_is_chosen_by_owner_and_configuration(short_tmp: Path) -> None:
    environ = {"HOME": str(short_tmp)}
    assert load(flags=Flags(), environ=environ, root=short_tmp).mode == "user"
    (short_tmp / "var/lib/kaged").mkdir(parents=True)
    assert load(flags=Flags(), environ=environ, root=short_tmp).mode == "user"
    (short_tmp / "etc/kaged").mkdir(parents=True)
    (short_tmp / "etc/kaged/config.toml").write_text("")
    loaded = load(flags=Flags(), environ=environ, root=short_tmp)
    assert loaded.mode == "system"
    assert loaded.paths.home == short_tmp / "var/lib/kaged"
    assert load(flags=Flags(mode="user"), environ=environ, root=short_tmp).mode == "user"


def test_scrubbing_removes_the_secrets_and_nothing_else() -> None:
    environ = {"KAGED_AUTH_SIDECAR_NONCE": "n", "KAGED_AUTH_ANYTHING": "m", "KAGED_HOME": "/h", "PATH": "/bin"}
    assert scrub_environ(environ) == {"KAGED_AUTH_SIDECAR_NONCE": "n", "KAGED_AUTH_ANYTHING": "m"}
    assert environ == {"KAGED_HOME": "/h", "PATH": "/bin"}
