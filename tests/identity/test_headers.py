"""The header contract: grammar cases, and random header lists against an independent reading of the rules."""

import email.header
import re
import unicodedata
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from identity.front import NONCE, OLD_NONCE
from kaged.core.actors import Role
from kaged.identity.browser import Request, Site
from kaged.identity.gate import Gate
from kaged.identity.headers import Nonce, NonceSet, Refusal, SidecarHeaders, display_name, is_contract_name, parse
from kaged.identity.peers import Connection, Peers

NONCES = NonceSet.of(NONCE, OLD_NONCE)
RIGHT = (b"x-kaged-auth-nonce", NONCE.encode())
ALICE = (b"x-kaged-user-id", b"alice")


def read(*headers: tuple[bytes, bytes]) -> SidecarHeaders:
    return parse(headers, NONCES)


def rule(*headers: tuple[bytes, bytes]) -> str:
    with pytest.raises(Refusal) as refused:
        parse(headers, NONCES)
    said = refused.value
    assert said.status == 400
    assert said.details and said.details["header"] in said.message
    return said.rule


def test_the_whole_contract() -> None:
    said = read(RIGHT, ALICE, (b"X-Kaged-User-Email", b"a@example.com"), (b"X-KAGED-USER-NAME", "Zoë 中".encode()))
    assert said == SidecarHeaders(Nonce.RIGHT, 0, "alice", "a@example.com", "Zoë 中")
    assert read((RIGHT[0], OLD_NONCE.encode()), ALICE).slot == 1


def test_without_the_right_nonce_nothing_is_read() -> None:
    garbage = (b"x-kaged-user-id", b"\x00 {evil}")
    assert read(garbage) == SidecarHeaders(Nonce.ABSENT)
    assert read(garbage, (RIGHT[0], b"guess")) == SidecarHeaders(Nonce.WRONG)
    assert rule(garbage, RIGHT) == "control_character"


def test_without_a_configured_nonce_every_nonce_is_wrong() -> None:
    said = parse([RIGHT, ALICE], NonceSet())
    assert (said.nonce, said.user_id) == (Nonce.WRONG, None)


def test_only_space_and_tab_are_trimmed_and_blank_is_absent() -> None:
    assert read((RIGHT[0], b" \t" + RIGHT[1] + b"\t "), (ALICE[0], b"\t alice ")).user_id == "alice"
    assert read(RIGHT, (ALICE[0], b" \t ")).user_id is None
    assert read((RIGHT[0], b"  "), ALICE).nonce is Nonce.ABSENT
    for other in (b"\x0balice", b"alice\x0c", b"alice\r", b"\nalice", b"al\tice"):
        assert rule(RIGHT, (ALICE[0], other)) == "control_character"
    assert rule(RIGHT, (ALICE[0], b"alice\xa0")) == "user_id_character"


@pytest.mark.parametrize("good", [b"auth0|5f7c", b"a.b@example.com", b"google-oauth2/1:2", b"x+y=_-~", b"A"])
def test_ids_of_real_providers_pass(good: bytes) -> None:
    assert read(RIGHT, (ALICE[0], good)).user_id == good.decode()


@pytest.mark.parametrize("bad", [bytes([c]) for c in b' ,{}()<>"\\$' if c != 0x20] + [b"a b", b"\x80", b"\xc3\xa9"])
def test_ids_that_a_broken_sidecar_makes_do_not(bad: bytes) -> None:
    assert rule(RIGHT, (ALICE[0], b"a" + bad + b"b")) == "user_id_character"


def test_lengths() -> None:
    assert read((RIGHT[0], b"a" * 512)).nonce is Nonce.WRONG
    assert rule((RIGHT[0], b"a" * 513)) == "header_too_long"
    assert read(RIGHT, (ALICE[0], b"a" * 255)).user_id == "a" * 255
    assert rule(RIGHT, (ALICE[0], b"a" * 256)) == "header_too_long"
    at = b"@example.com"
    assert read(RIGHT, ALICE, (b"x-kaged-user-email", b"a" * (320 - len(at)) + at)).email
    assert rule(RIGHT, ALICE, (b"x-kaged-user-email", b"a" * (321 - len(at)) + at)) == "header_too_long"


@pytest.mark.parametrize(
    "odd",
    [b"a@b@c", b"alice", b"@example.com", b"alice@", b"a b@example.com", b"\xff@example.com",
     "a\u202e@example.com".encode(), "a\u00a0@example.com".encode(), "a\u200b@example.com".encode()],
)  # fmt: skip
def test_an_odd_email_counts_as_absent(odd: bytes) -> None:
    said = read(RIGHT, ALICE, (b"x-kaged-user-email", odd))
    assert (said.user_id, said.email) == ("alice", None)


def test_an_email_or_name_alone_is_nobody() -> None:
    said = read(RIGHT, (b"x-kaged-user-email", b"a@example.com"), (b"x-kaged-user-name", b"Alice"))
    assert (said.user_id, said.email, said.name) == (None, None, None)
    assert rule(RIGHT, (b"x-kaged-user-email", b"a\x01@example.com")) == "control_character"


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"Alice", "Alice"),
        (b"  Alice \t", "Alice"),
        (b" ", None),
        ("Zoë 中村".encode(), "Zoë 中村"),
        (b"Zo\xeb", "Zo\ufffd"),
        (b"=?utf-8?q?Zo=C3=AB_M=C3=BCller?=", "Zoë Müller"),
        (b"=?UTF-8?B?Wm/Dqw==?=", "Zoë"),
        (b"=?utf-8?q?Zo=C3=AB?= =?utf-8?q?_M?= x", "Zoë M x"),
        (b"=?utf-8?q?a?=\t=?utf-8?q?b?=", "ab"),
        (b"=?utf-8?b?!!!?=", None),
        (b"=?x-none?q?a?=", "=?x-none?q?a?="),
        ("Zoë =?utf-8?q?M?=".encode(), "Zoë =?utf-8?q?M?="),
        (b"=?utf-8?q?a=00=0A=E2=80=AEb?=", "ab"),
        ("evil\u202egnp\u202c\u2066\u200f.exe".encode(), "evilgnp.exe"),
        (b"a\x00\x1b[31mb\x7f\xc2\x85", "a[31mb"),
        (b"(null)", "(null)"),
        (b"<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("👩\u200d💻".encode(), "👩\u200d💻"),
    ],
)
def test_names_are_shown_as_meant(raw: bytes, shown: str | None) -> None:
    assert display_name(raw) == shown


@given(st.binary(max_size=600))
def test_no_name_is_dangerous_to_show(raw: bytes) -> None:
    name = display_name(raw)
    assert name is None or 0 < len(name.encode()) <= 256
    for char in name or "":
        assert unicodedata.category(char) not in {"Cc", "Cs"}
        assert unicodedata.bidirectional(char) not in {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


@given(st.text(alphabet=st.characters(blacklist_categories=["C", "Z"]), min_size=1, max_size=40))
def test_encoded_words_agree_with_the_standard_library(text: str) -> None:
    raw = email.header.Header(text, "utf-8", maxlinelen=10**6).encode().encode("ascii")
    assert display_name(raw) == text.encode()[:256].decode("utf-8", "ignore")


def test_look_alikes_duplicates_and_strangers() -> None:
    assert rule((b"x_kaged_user_id", b"m")) == "look_alike_header"
    assert rule((b"x-kaged-\xffuser-id", b"m")) == "look_alike_header"
    assert rule((b"x-kaged-user-id ", b"m")) == "look_alike_header"
    assert rule(RIGHT, RIGHT) == "duplicate_header"
    assert rule(ALICE, (b"X-Kaged-User-Id", b"")) == "duplicate_header"
    assert rule((b"x-kaged-client", b"a"), (b"x-kaged-client", b"a")) == "duplicate_header"
    said = read(RIGHT, ALICE, (b"x-kaged-admin", b"1"), (b"x-kaged-user-groups", b"g"), (b"x-kaged", b"1"))
    assert said.ignored == ("X-Kaged-Admin",)
    assert [is_contract_name(n) for n in (b"X_KAGED.x", b"x-kaged-a", b"x-kaged", b"kaged")] == [
        True,
        True,
        False,
        False,
    ]


def test_the_browsers_key() -> None:
    key = (b"x-kaged-client", b"A-z_09")
    assert read(key).client_key == read(key, (RIGHT[0], b"no")).client_key == "A-z_09"
    assert rule((b"x-kaged-client", b"a b")) == rule((b"x-kaged-client", b"a" * 129)) == "client_key"
    assert read((b"x-kaged-client", b" ")).client_key is None


# --- an independent reading ---------------------------------------------------------------------------------

SEPARATORS = "-_. \x00~"
NAMES = ["auth-nonce", "user-id", "user-email", "user-name", "user-groups", "admin", "client"]


@st.composite
def names(draw: st.DrawFn) -> bytes:
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(min_size=1, max_size=20))
    text = "x-kaged-" + draw(st.sampled_from(NAMES))
    if draw(st.integers(0, 4)) == 0:
        text = "".join(draw(st.sampled_from(SEPARATORS)) if c == "-" else c for c in text)
    return "".join(c.upper() if draw(st.booleans()) else c for c in text).encode()


VALUES = st.one_of(
    st.sampled_from([NONCE, OLD_NONCE, NONCE[:-1], "alice", " alice\t", "", " ", "a,b", "(null)", "a@example.com"]).map(
        str.encode
    ),
    st.binary(max_size=12),
    st.integers(250, 520).map(lambda n: b"a" * n),
)


def straight_reading(headers: list[tuple[bytes, bytes]]) -> str | None:
    """The rules of the contract, one sentence each, slow and plain: the user, or None."""

    def plain(name: bytes) -> str:
        return re.sub(
            "[^a-z0-9]",
            "-",
            name.decode("latin-1").lower()
            if name.isascii()
            else "".join(chr(b).lower() if b < 128 else "\x80" for b in name),
        )

    ours = [(n, v) for n, v in headers if plain(n)[:8] == "x-kaged-"]
    # A name that is ours only after replacing characters: refused.
    if any(plain(n).encode() != n.lower() for n, _ in ours):
        return None
    # Each of ours at most once.
    if len({n.lower() for n, _ in ours}) != len(ours):
        return None
    values = {n.lower().decode(): v.strip(b" \t") for n, v in ours}
    # The nonce, byte for byte.
    if values.get("x-kaged-auth-nonce") not in (NONCE.encode(), OLD_NONCE.encode()):
        return None
    # No control bytes in id and e-mail, and nothing over its length.
    user, mail = values.get("x-kaged-user-id", b""), values.get("x-kaged-user-email", b"")
    if any(b < 32 or b == 127 for b in user + mail) or len(user) > 255 or len(mail) > 320:
        return None
    # A browser's key never comes with strange characters.
    if not all((chr(b).isalnum() and b < 128) or b in b"-_" for b in values.get("x-kaged-client", b"")):
        return None
    if len(values.get("x-kaged-client", b"")) > 128:
        return None
    # The id's alphabet.
    if not user or any(not 33 <= b <= 126 or b in b',{}()<>"\\$' for b in user):
        return None
    return user.decode()


@given(st.lists(st.tuples(names(), VALUES), max_size=7))
@example([(b"x-kaged-auth-nonce", NONCE.encode()), (b"x-kaged-user-id", b"alice")])
@example([(b"x-kaged-auth-nonce", OLD_NONCE.encode()), (b"X-Kaged-User-Id", b" bob ")])
def test_random_headers_never_make_a_user_that_the_rules_do_not(headers: list[tuple[bytes, bytes]]) -> None:
    user = None
    with suppress(Refusal):
        user = parse(headers, NONCES).user_id
    assert user == straight_reading(headers)


@given(st.lists(st.tuples(names(), VALUES), max_size=7), st.booleans(), st.booleans())
@example([RIGHT, ALICE], True, True)
@example([RIGHT, ALICE], True, False)
@example([RIGHT, (b"x-kaged-user-email", b"a@example.com")], True, True)
async def test_the_door_admits_nobody_that_the_rules_do_not(
    headers: list[tuple[bytes, bytes]], local: bool, socket: bool
) -> None:
    """The same for the decision as a whole: peer, Host and path included."""
    site = Site.of("", ("127.0.0.1", 7777))
    gate = Gate(site, NONCES, Peers(), frozenset(), insecure=False, daemon_uid=1, browsers=None, cookie="kaged_session")
    given = [(b"host", b"127.0.0.1:7777"), *headers, *([(b"origin", b"http://127.0.0.1:7777")] if socket else [])]
    peer = Connection(client=("127.0.0.1" if local else "192.0.2.1", 5), server=("127.0.0.1", 7777))
    admitted = None
    with suppress(Refusal):
        request = Request("websocket" if socket else "http", "GET", "/api/v1/me", 11, given, peer)
        admitted = (await gate.judge(request)).actor
    assert (admitted.id if admitted else None) == (straight_reading(headers) if local else None)
    assert admitted is None or (admitted.source, admitted.role) == ("sidecar", Role.MEMBER)


def test_the_reading_lets_somebody_in() -> None:
    assert straight_reading([RIGHT, ALICE]) == "alice"
    assert straight_reading([RIGHT, (b"x_kaged_user_id", b"alice")]) is None


def test_each_slot_matches_its_own_nonce_only() -> None:
    both = NonceSet.of(NONCE, OLD_NONCE)
    assert [both.match(v.encode()) for v in (NONCE, OLD_NONCE, NONCE[:-1], "")] == [0, 1, None, None]
    assert NonceSet().match(NONCE.encode()) is None


def test_a_repeat_is_one_slot_and_no_value_is_kept() -> None:
    assert len(NonceSet.of(NONCE, NONCE)) == 1
    assert NONCE not in repr(NonceSet.of(NONCE))
