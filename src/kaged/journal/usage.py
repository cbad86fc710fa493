"""What models used, summed over the journals of all sessions."""

import apsw
import msgspec

_SUMS = (
    "SELECT date(e.at, ?3) AS day, s.project, coalesce(r.agent, 'primary'), e.data ->> 'provider', e.data ->> 'model', "
    "count(*), sum(e.data ->> 'input_tokens'), sum(e.data ->> 'output_tokens'), sum(e.data ->> 'cache_read_tokens'), "
    "sum(e.data ->> 'cache_write_tokens'), total(e.data ->> 'cost'), sum(e.data ->> 'cost' IS NULL), "
    "sum(e.data ->> 'estimated') FROM events e INDEXED BY events_usage JOIN sessions s ON s.id = e.session "
    "LEFT JOIN runs r ON r.id = e.data ->> 'run_id' WHERE e.type = 'usage.recorded' AND e.at >= ?1 AND e.at < ?2 "
    "GROUP BY 1, 2, 3, 4, 5 ORDER BY 1 DESC, 2, 3, 4, 5"
)


class UsageSum(msgspec.Struct, frozen=True):
    """The calls of one model by one agent of one project on one day. `cost` is in US dollars, without the `unpriced`
    calls; `estimated` calls were counted by characters."""

    day: str
    project: str
    agent: str
    provider: str
    model: str
    calls: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    cost: float
    unpriced: int
    estimated: int


def usage_sums(connection: apsw.Connection, since: str, until: str, offset_minutes: int) -> list[UsageSum]:
    """Newest day first, from `since` up to `until` (ISO 8601 UTC); days begin `offset_minutes` before UTC's."""
    found = connection.execute(_SUMS, (since, until, f"{offset_minutes:+d} minutes"))
    return [UsageSum(*row) for row in found]
