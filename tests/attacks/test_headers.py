"""Attacks with headers that must fail, by raw bytes against a real server, each with its control.

The numbers are those of the attack list: T1 to T5, T12, T28.
"""

import json

import pytest

from attacks.doors import ME, POST_JSON, PUBLIC, door, doors, local
from identity.front import NONCE, OLD_NONCE, Front, front, read_answer, sidecar
from kaged.identity.protocol import MAX_HEAD

__all__ = ["door", "doors", "local"]
pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_the_control_of_all_the_right_headers_are_let_in(door: Front) -> None:
    answer = await door.get(ME, *sidecar(), "X-Kaged-User-Email: a@example.com", "X-Kaged-User-Name: Alice")
    assert (answer.actor, answer.json["email"], answer.json["name"]) == ("alice", "a@example.com", "Alice")
    assert answer.json["actor"]["role"] == "member"


# --- T1: identity without the nonce -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "lines",
    [
        ["X-Kaged-User-Id: alice"],
        ["X-Kaged-User-Id: alice", "X-Kaged-Auth-Nonce:"],
        ["X-Kaged-User-Id: alice", "X-Kaged-Auth-Nonce:  \t "],
        sidecar(nonce="x"),
        sidecar(nonce=NONCE[:-1]),
        sidecar(nonce=NONCE[:-1] + "1"),
        sidecar(nonce=NONCE + "0"),
        sidecar(nonce=NONCE.upper()),
        sidecar(nonce=OLD_NONCE),
        ["X-Kaged-User-Id: alice", f"Authorization: Bearer {NONCE}"],
        ["X-Kaged-User-Id: alice", f"Cookie: X-Kaged-Auth-Nonce={NONCE}"],
        ["Remote-User: alice", f"Remote-Nonce: {NONCE}"],
    ],
)
async def test_t1_no_identity_without_the_right_nonce(door: Front, lines: list[str]) -> None:
    answer = await door.get(ME, *lines)
    assert answer.status == 401
    # The reason is for the log; the caller learns nothing by which to search.
    plain = await door.get(ME)
    assert answer.body == plain.body
    assert door.app.scopes == []


async def test_t1_the_nonce_is_compared_as_bytes_in_constant_time_against_all(monkeypatch, tmp_path) -> None:
    from kaged.identity import headers

    compared: list[tuple[bytes, bytes]] = []
    real = headers.hmac.compare_digest

    def spy(a, b):
        compared.append((a, b))
        return real(a, b)

    monkeypatch.setattr(headers.hmac, "compare_digest", spy)
    both = headers.NonceSet.of(NONCE, OLD_NONCE)
    for value, slot in ((NONCE, 0), (OLD_NONCE, 1), ("\u00ff", None)):
        compared.clear()
        assert both.match(value.encode("latin-1")) == slot
        assert len(compared) == 2, "a match must not end the search"
        assert {len(part) for pair in compared for part in pair} == {32}


# --- T2: the right nonce from the wrong peer ----------------------------------------------------------------


async def test_t2_the_right_nonce_from_another_peer_is_refused(tmp_path) -> None:
    async with front(tmp_path, peers=("10.0.0.5",)) as door:
        assert (await door.get(ME, *sidecar())).status == 401
        assert door.audit.rules() == ["foreign_peer"]
    async with front(tmp_path, peers=("127.0.0.1",)) as door:
        assert (await door.get(ME, *sidecar())).actor == "alice"


async def test_t2_the_account_at_the_other_end_decides(tmp_path) -> None:
    import os

    async with front(tmp_path, peers=(f"uid:{os.geteuid() + 1}",)) as door:
        assert (await door.get(ME, *sidecar())).status == 401
    async with front(tmp_path, peers=(f"uid:{os.geteuid()}",)) as door:
        assert (await door.get(ME, *sidecar())).actor == "alice"


# --- T3: the same header twice, lists, trailers -------------------------------------------------------------


@pytest.mark.parametrize("name", ["X-Kaged-User-Id", "X-Kaged-Auth-Nonce", "X-Kaged-User-Email"])
@pytest.mark.parametrize("second", ["same", "other", "empty", "other case"])
async def test_t3_two_of_the_same_are_refused(door: Front, name: str, second: str) -> None:
    first = {"X-Kaged-User-Id": "alice", "X-Kaged-Auth-Nonce": NONCE, "X-Kaged-User-Email": "a@example.com"}
    twin = {"same": first[name], "other": "mallory", "empty": "", "other case": first[name]}[second]
    key = name.upper() if second == "other case" else name
    lines = [f"{n}: {v}" for n, v in first.items()]
    assert (await door.get(ME, *lines)).actor == "alice"
    for order in ([*lines, f"{key}: {twin}"], [f"{key}: {twin}", *lines]):
        answer = await door.get(ME, *order)
        assert (answer.status, answer.rule) == (400, "duplicate_header")


async def test_t3_a_list_is_no_user(door: Front) -> None:
    assert (await door.get(ME, *sidecar("alice,mallory"))).status == 400
    assert (await door.get(ME, *sidecar(), f"X-Kaged-Auth-Nonce: {NONCE}, {NONCE}")).status == 400


def chunked(door: Front, lines: list[str], trailer: str) -> bytes:
    head = door.request(ME, *lines, *POST_JSON, "Transfer-Encoding: chunked", method="POST")
    return head + b"2\r\n{}\r\n0\r\n" + trailer.encode() + b"\r\n"


async def test_t3_a_trailer_is_no_header(door: Front, tmp_path) -> None:
    nonce = [f"X-Kaged-Auth-Nonce: {NONCE}"]
    assert (await door.raw(chunked(door, nonce, "X-Kaged-User-Id: mallory\r\n"))).status == 401
    answer = await door.raw(chunked(door, sidecar(), "X-Kaged-User-Name: Admin\r\nX-Other: 1\r\n"))
    assert (answer.actor, answer.json["name"]) == ("alice", None)
    assert "x-other" not in [name for name, _ in answer.json["headers"]]
    async with front(tmp_path, public_url=PUBLIC, own_protocol=False) as plain:
        # What would happen without our protocol class: the test above tests something.
        leaky = await plain.raw(chunked(plain, nonce, "X-Kaged-User-Id: mallory\r\n"))
        assert leaky.actor == "mallory"


async def test_t3_http2_is_not_spoken(door: Front) -> None:
    assert (await door.raw(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")).status == 400
    assert (await door.get(ME, ":authority: kaged.example.com", *sidecar())).status == 400


# --- T4: names that look alike, and bytes that do not belong ------------------------------------------------

LOOK_ALIKES = [
    "X_Kaged_User_Id",
    "X-Kaged_User-Id",
    "X_KAGED_USER_ID",
    "X.Kaged.User.Id",
    "X-Kaged-User_Id",
    "X-Kaged-Auth_Nonce",
    "X~Kaged~User~Id",
    "X-Kaged-User.Groups",
    "X_Kaged_Anything",
]


@pytest.mark.parametrize("name", LOOK_ALIKES)
async def test_t4_a_name_that_only_looks_right_is_refused(door: Front, name: str) -> None:
    for lines in ([f"{name}: mallory"], [*sidecar(), f"{name}: mallory"], [f"{name}: mallory", *sidecar()]):
        answer = await door.get(ME, *lines)
        assert (answer.status, answer.rule) == (400, "look_alike_header")


@pytest.mark.parametrize("name", ["x-kaged-user-id", "X-KAGED-USER-ID", "X-kAgEd-uSeR-iD"])
async def test_t4_letter_case_is_no_difference(door: Front, name: str) -> None:
    assert (await door.get(ME, f"X-Kaged-Auth-Nonce: {NONCE}", f"{name}: alice")).actor == "alice"


@pytest.mark.parametrize(
    "line",
    [
        b"X-Kaged-User-Id : mallory",
        b"X-Kaged-User-Id\t: mallory",
        b" X-Kaged-User-Id: mallory",
        b"X-Foo: a\r\n X-Kaged-User-Id: mallory",
        b"X-Foo: a\r\n\tX-Kaged-User-Id: mallory",
        b"X-Foo: a\rX-Kaged-User-Id: mallory",
        b"X-Foo: a\nX-Kaged-User-Id: mallory",
        b"X-Kaged-User-Id: mal\x00lory",
        b"X-Kaged-User-Id: mal\x01lory",
        b"X-Kaged-User-Id: mal\x7flory",
        b"X-Kaged-User-Id: mal\tlory",
        b"X-Kaged-User-Id: mal lory",
        b"X-Kaged-User-Id: mall\xc3\xb6ry",
        b"X-Kaged-User-Id: mall\xf6ry",
        b"X-Kaged-User-Id: (null)",
        b"X-Kaged-User-Id: {http.reverse_proxy.header.Remote-User}",
        b"X-Kaged-User-Id: $remote_user",
        b"X-Kaged-User-Id: " + b"a" * 256,
        b"X-Kaged-User\xff-Id: mallory",
        b"X-Kaged-User-Id\x00: mallory",
        b"X-Kaged-User-Id",
    ],
)
async def test_t4_bytes_that_do_not_belong_are_refused(door: Front, line: bytes) -> None:
    nonce = f"X-Kaged-Auth-Nonce: {NONCE}"
    assert (await door.get(ME, nonce, line)).status == 400
    assert door.app.scopes == []
    assert (await door.get(ME, nonce, "X-Kaged-User-Id: " + "a" * 255)).actor == "a" * 255


@pytest.mark.parametrize("odd", ["..", "a@b@c", "local", "local:root", "kaged", "anonymous", "ADMIN", "*"])
async def test_t4_odd_ids_are_just_users(tmp_path, odd: str) -> None:
    async with front(tmp_path, admins=("admin", "root")) as door:
        answer = await door.get(ME, *sidecar(odd))
        assert answer.json["actor"] == {"id": odd, "role": "member", "source": "sidecar"}
        assert (await door.get(ME, *sidecar("admin"))).json["actor"]["role"] == "admin"


async def test_t4_large_heads_are_taken_and_larger_ones_refused(door: Front) -> None:
    assert (await door.get(ME, *sidecar(), "Cookie: " + "a" * 40 * 1024)).actor == "alice"
    many = [f"X-Line-{n}: {n}" for n in range(120)]
    assert (await door.get(ME, *sidecar(), *many)).actor == "alice"
    assert (await door.get(ME, *sidecar(), "Cookie: " + "a" * MAX_HEAD)).status == 431
    assert (await door.get(ME, *sidecar(), *(f"X-{n}: {n}" for n in range(300)))).status == 431
    assert (await door.get(ME + "?" + "a" * (MAX_HEAD - 50), *sidecar())).status == 431


async def test_t4_a_head_without_end_is_cut_off(door: Front) -> None:
    reader, writer = await door.dial()
    writer.write(f"GET {ME} HTTP/1.1\r\nHost: {door.host}\r\nX-Endless: ".encode())
    answer = None
    try:
        for _ in range(64):
            writer.write(b"a" * 64 * 1024)
            await writer.drain()
        answer = await read_answer(reader)
    except ConnectionError:
        pass
    finally:
        writer.close()
    assert answer is None or answer.status == 431
    assert door.app.scopes == []


# --- T5: hop-by-hop -----------------------------------------------------------------------------------------


async def test_t5_what_a_hop_by_hop_trick_leaves_over_is_nobody(tmp_path) -> None:
    trick = "Connection: close, X-Kaged-User-Id, X-Kaged-Auth-Nonce, X-Kaged-User-Email"
    async with front(tmp_path) as door:
        # The sidecar obeyed: the id, or the nonce, or both are gone.
        assert (await door.get(ME, trick, *sidecar(None))).status == 401
        assert (await door.get(ME, trick, "X-Kaged-User-Id: alice")).status == 401
        assert (await door.get(ME, trick)).status == 401
        assert door.audit.rules() == ["no_user_id", "no_identity", "no_identity"]
        # It did not obey: the header means nothing here.
        assert (await door.get(ME, trick, *sidecar())).actor == "alice"


# --- T12: where the nonce must never appear -----------------------------------------------------------------


async def test_t12_no_secret_is_logged_recorded_or_answered(tmp_path, caplog) -> None:
    caplog.set_level("DEBUG")
    async with front(tmp_path, mode="user", nonces=(NONCE,)) as door:
        cookie, key = await door.sign_in()
        wrong = "f" * 63 + "e"
        answers = [
            await door.get(ME, *sidecar()),
            await door.get(ME, *sidecar(nonce=wrong)),
            await door.get(ME, *sidecar(), f"X_Kaged_Auth_Nonce: {NONCE}"),
            await door.get(ME, *sidecar(), f"X-Kaged-Auth-Nonce: {NONCE}"),
            await door.get(ME, cookie, key),
        ]
        assert [a.status for a in answers] == [200, 401, 400, 400, 200]
        seen = caplog.text + repr(door.audit.records) + repr(answers) + repr(vars(door.identity))
        seen += json.dumps([[r.getMessage(), str(r.args)] for r in caplog.records])
        for secret in (NONCE, wrong, cookie.partition("=")[2], key.partition(": ")[2]):
            assert secret not in seen
        assert "auth.refused" in seen


# --- T28: what a client says about itself -------------------------------------------------------------------


async def test_t28_a_role_that_the_client_declares_is_ignored(tmp_path) -> None:
    async with front(tmp_path, admins=("root@example.com",)) as door:
        claims = [
            "X-Kaged-Role: admin",
            "X-Kaged-Admin: 1",
            "X-Kaged-User-Groups: admins",
            "X-Kaged-User-Email: root@example.com",
            "X-Kaged-User-Name: root@example.com",
        ]
        answer = await door.get(ME + "?role=admin&user=root@example.com", *sidecar(), *claims)
        assert answer.json["actor"] == {"id": "alice", "role": "member", "source": "sidecar"}
        assert [name for name, _ in answer.json["headers"]] == ["host"]
        assert (await door.get(ME, *sidecar("ROOT@example.com"))).json["actor"]["role"] == "member"
        assert (await door.get(ME, *sidecar("root@example.com"))).json["actor"]["role"] == "admin"
