"""A short screen recording of a story, kept as an artefact: what the browser painted, as an animated WebP."""

import base64
import contextlib
import io
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Error, Page

FOLDER = Path(__file__).resolve().parents[2] / "artifacts" / "recordings"
Film = Callable[[Page, str], Path]
WIDTH = 900
LONGEST_S = 1.5  # Nothing happens for longer than this in a recording, however long the story waited
FRAMES = 240
PAUSE_S = 0.15  # a frame that follows sooner takes the place of the one before: encoding all took longer than the story


@contextlib.contextmanager
def recording(page: Page, name: str) -> Iterator[Path]:
    """Record `page` while the block runs; the file is written at its end, also when the story failed."""
    painted: list[tuple[float, bytes]] = []
    cdp = page.context.new_cdp_session(page)

    def keep(event: dict[str, Any]) -> None:
        now = time.monotonic()
        data = base64.b64decode(event["data"])
        if painted and now - painted[-1][0] < PAUSE_S:
            painted[-1] = (painted[-1][0], data)
        elif len(painted) < FRAMES:
            painted.append((now, data))
        cdp.send("Page.screencastFrameAck", {"sessionId": event["sessionId"]})

    cdp.on("Page.screencastFrame", keep)
    cdp.send("Page.startScreencast", {"format": "jpeg", "quality": 80, "maxWidth": WIDTH, "maxHeight": WIDTH})
    path = FOLDER / f"{name}.webp"
    try:
        yield path
    finally:
        with contextlib.suppress(Error):  # the story may have closed the page
            cdp.send("Page.stopScreencast")
            cdp.detach()
        if painted:
            _write(path, painted)


def _write(path: Path, painted: list[tuple[float, bytes]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    images = [Image.open(io.BytesIO(data)).convert("RGB") for _, data in painted]
    same = [image.resize(images[0].size) for image in images]
    ends = [at for at, _ in painted[1:]] + [painted[-1][0] + 1]
    shown = [min(LONGEST_S, end - at) for (at, _), end in zip(painted, ends, strict=True)]
    durations = [max(20, round(seconds * 1000)) for seconds in shown]
    same[0].save(path, save_all=True, append_images=same[1:], duration=durations, loop=0, quality=60, method=2)
