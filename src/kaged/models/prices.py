"""What a call of a model costs, by the price list that came with this kaged (the library `genai-prices`)."""

from decimal import Decimal

from kaged.models.types import Usage


def price(usage: Usage, model: str, url: str) -> float | None:
    """US dollars, or None where the list has no such provider or model. Blocks: the list is read at the first call,
    for about a second; each further call takes half a millisecond."""
    from genai_prices import Usage as Counted
    from genai_prices import calc_price

    counted = Counted(
        input_tokens=usage.input + usage.cache_read + usage.cache_write, cache_read_tokens=usage.cache_read,
        cache_write_tokens=usage.cache_write, output_tokens=usage.output,
    )  # fmt: skip
    try:
        total: Decimal = calc_price(counted, model, provider_api_url=url).total_price
    except LookupError:
        return None
    return float(total)
