"""The set of accepted nonces."""

from identity.front import NONCE, OLD_NONCE
from kaged.identity.nonces import NonceSet


def test_each_slot_matches_its_own_nonce_only() -> None:
    both = NonceSet.of(NONCE, OLD_NONCE)
    assert [both.match(v.encode()) for v in (NONCE, OLD_NONCE, NONCE[:-1], "")] == [0, 1, None, None]
    assert NonceSet().match(NONCE.encode()) is None


def test_a_repeat_is_one_slot_and_no_value_is_kept() -> None:
    assert len(NonceSet.of(NONCE, NONCE)) == 1
    assert NONCE not in repr(NonceSet.of(NONCE))
