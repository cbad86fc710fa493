"""What axe finds on a page: WCAG 2.2 A and AA, and what axe holds for good practice."""

from functools import cache
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

AXE = Path(__file__).resolve().parents[2] / "ui" / "node_modules" / "axe-core" / "axe.min.js"
TAGS = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
COLOURS = ("color-contrast", "link-in-text-block")
"""The rules that another theme can break: the rest was judged with the first."""


@cache
def _source() -> str:
    return AXE.read_text(encoding="utf-8")


def check(page: Page, what: str, *, within: str = "html", only: tuple[str, ...] = ()) -> None:
    """Fail with every violation on `page` as it is now (below the selector `within`), each with its places and the fix.

    Call it once the page shows what is to be judged; `what` names that in the failure. With `only`, these rules
    and no others.
    """
    if not page.evaluate("'axe' in window"):
        page.evaluate(f"() => {{ {_source()} }}")  # not a script tag: the content policy holds in tests too
    found: list[dict[str, Any]] = page.evaluate(
        """([within, type, values]) => axe.run(within, { runOnly: { type, values }, resultTypes: ["violations"] })
            .then(({ violations }) => violations.map(({ id, help, nodes }) => ({
                id, help, nodes: nodes.map(({ target, failureSummary }) => `${target.join(" ")}: ${failureSummary}`),
            })))""",
        [within, *(("rule", only) if only else ("tag", TAGS))],
    )
    told = [f"{one['id']} ({one['help']})\n    " + "\n    ".join(one["nodes"]) for one in found]
    assert not told, f"{what}, {len(told)} rules broken:\n" + "\n".join(told)
