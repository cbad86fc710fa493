"""What calls cost, against the published prices of a model that does not change any more."""

import pytest

from kaged.models.offline import OfflineProvider
from kaged.models.prices import price
from kaged.models.types import Usage

SONNET = "claude-sonnet-4-5-20250929"  # 3 and 15 dollars a million, cached 0.30, written to the cache 3.75


def test_cached_tokens_have_their_own_price() -> None:
    usage = Usage(input=10_000, output=1_000, cache_read=50_000, cache_write=2_000)
    assert price(usage, SONNET, "https://api.anthropic.com/v1") == pytest.approx(0.03 + 0.015 + 0.015 + 0.0075)


@pytest.mark.parametrize(
    ("model", "url"),
    [("no-such-model", "https://api.anthropic.com/v1"), (SONNET, "http://127.0.0.1:11434/v1"), (SONNET, "nonsense")],
)
def test_what_is_not_on_the_list_has_no_price(model: str, url: str) -> None:
    assert price(Usage(10, 10), model, url) is None


def test_the_offline_model_is_free() -> None:
    assert OfflineProvider().cost(Usage(10, 10), "offline") == 0
