"""What axe finds on a page: WCAG 2.2 A and AA, and what axe holds for good practice."""

from functools import cache
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

AXE = Path(__file__).resolve().parents[2] / "ui" / "node_modules" / "axe-core" / "axe.min.js"
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@cache
def _source() -> str:
    return AXE.read_text(encoding="utf-8")


def check(page: Page, what: str, *, within: str = "html") -> None:
    """Fail with every violation on `page` as it is now (below the selector `within`), each with its places and the fix.

    Call it once the page shows what is to be judged; `what` names that in the failure.
    """
    if not page.evaluate("'axe' in window"):
        page.evaluate(f"() => {{ {_source()} }}")  # not a script tag: the content policy holds in tests too
    found: list[dict[str, Any]] = page.evaluate(
        """([within, tags]) => axe.run(within, { runOnly: { type: "tag", values: tags }, resultTypes: ["violations"] })
            .then(({ violations }) => violations.map(({ id, help, nodes }) => ({
                id, help, nodes: nodes.map(({ target, failureSummary }) => `${target.join(" ")}: ${failureSummary}`),
            })))""",
        [within, TAGS],
    )
    told = [f"{one['id']} ({one['help']})\n    " + "\n    ".join(one["nodes"]) for one in found]
    assert not told, f"{what}, {len(told)} rules broken:\n" + "\n".join(told)
