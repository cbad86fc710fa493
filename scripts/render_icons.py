"""Draw the console's icons (`ui/public/icon-*.png`) from its logo, `ui/src/icon.svg`. Needs Chromium; the results are
committed, so this runs only when the logo changes."""

import re
from pathlib import Path

from playwright.sync_api import sync_playwright

UI = Path(__file__).resolve().parent.parent / "ui"
ICONS = {"icon-192": (192, 1.0), "icon-512": (512, 1.0), "icon-180": (180, 1.0), "icon-maskable-512": (512, 0.72)}
"""Size, and how much of it the logo takes: maskable icons are cut to the shape that the device likes."""


def main() -> None:
    logo = (UI / "src" / "icon.svg").read_text(encoding="utf-8")
    marks = re.sub(r"<rect[^>]*/>", "", logo)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        for name, (size, share) in ICONS.items():
            page = browser.new_page(viewport={"width": size, "height": size})
            whole = name in ("icon-180", "icon-maskable-512")  # the device cuts the corners itself
            inner = int(size * share)
            page.set_content(
                f"<style>body{{margin:0;height:100vh;display:grid;place-items:center;"
                f"background:{'#16171a' if whole else 'transparent'}}}svg{{width:{inner}px;height:{inner}px}}</style>"
                + (marks if whole else logo)
            )
            page.screenshot(path=UI / "public" / f"{name}.png", omit_background=True)
        browser.close()


if __name__ == "__main__":
    main()
