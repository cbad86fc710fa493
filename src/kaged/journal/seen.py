"""What a project's cages reached or tried, summed over the journals of all its sessions."""

from typing import Any

import apsw

LEARN = "learn"  # the rule that learn mode allows by

MAX_HOSTS = 1000

# A connection that lasts is told twice: what opens counts only for as long as its end is not told.
# `rule`, `reason` and `via` come from the row that has the maximum: those of the newest decision.
_SEEN = """
WITH told AS (
    SELECT e.commit_no, e.at, e.data ->> '$.host' AS host, e.data ->> '$.port' AS port,
           e.data ->> '$.via' AS via, coalesce(e.data ->> '$.rule', '') AS rule,
           coalesce(e.data ->> '$.reason', '') AS reason, coalesce(e.data ->> '$.count', 0) AS denied,
           coalesce(e.data ->> '$.up', 0) AS up, coalesce(e.data ->> '$.down', 0) AS down,
           e.data ->> '$.state' AS state, e.data ->> '$.run_id' AS sub_run,
           lead(e.data ->> '$.state') OVER (
               PARTITION BY e.session, e.data ->> '$.connection' ORDER BY e.seq
           ) AS then_
    FROM sessions s JOIN events e ON e.session = s.id
    WHERE s.project = ?1 AND e.type IN ('network.allowed', 'network.denied')
)
SELECT host, port, coalesce(sum(state = 'closed' OR state = 'open' AND then_ IS NOT 'closed'), 0) AS allowed,
       sum(denied), sum(iif(state = 'closed', up, 0)), sum(iif(state = 'closed', down, 0)),
       at, via, rule, reason, sum(rule = ?2 AND sub_run IS NULL), max(commit_no) AS last
FROM told WHERE host != '' GROUP BY host, port ORDER BY allowed > 0 DESC, last DESC LIMIT ?3
"""


_KEYS = ("host", "port", "allowed", "denied", "up", "down", "last_at", "via", "rule", "reason", "learned")


def seen(connection: apsw.Connection, project: str) -> list[dict[str, Any]]:
    """The hosts and ports of a project's sessions, reached ones first, then the newest first; at most `MAX_HOSTS`.
    `allowed` and `denied` count connections or, of an inspected host, requests; `up` and `down` are bytes; `last_at`,
    `via`, `rule` and `reason` those of the newest decision. `learned` is how often only learn mode let something
    through to the session's own agent."""
    found = connection.execute(_SEEN, (project, LEARN, MAX_HOSTS))
    return [dict(zip(_KEYS, row, strict=False)) for row in found]
