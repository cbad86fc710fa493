"""WebKit, driven through WebDriver: Debian's `webkit2gtk-driver` and `xvfb`. Only what a story needs."""

import base64
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
ENTER = "\ue007"
WAIT_S = 60.0
CONTROL, UP = "\ue009", "\ue000"  # held, and all let go


def mini_browser() -> Path | None:
    """WebKitGTK's own small browser, which comes with the driver."""
    return next(iter(sorted(Path("/usr/lib").glob("*/webkit2gtk-4.*/MiniBrowser"), reverse=True)), None)


def why_not() -> str | None:
    """What this machine lacks."""
    for program, package in (("WebKitWebDriver", "webkit2gtk-driver"), ("Xvfb", "xvfb")):
        if shutil.which(program) is None:
            return f"{program} is not installed (Debian's package {package})"
    return None if mini_browser() else "WebKitGTK's MiniBrowser is not installed (Debian's package webkit2gtk-driver)"


class WebKit:
    """One window."""

    def __init__(self, http: httpx2.Client, session: str) -> None:
        self._http, self._session = http, session

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        answer = self._http.request(method, f"/session/{self._session}{path}", json=body)
        value = answer.json()["value"]
        if answer.is_error:
            raise AssertionError(f"{path}: {value['error']}: {value['message']}")
        return value

    def go(self, url: str) -> None:
        self._ask("POST", "/url", {"url": url})

    def size(self, width: int, height: int) -> None:
        """The page's, whatever the window has around it."""
        for _ in range(2):
            inner = self.run("return [innerWidth, innerHeight]")
            outer = self._ask("GET", "/window/rect")
            wide, high = outer["width"] - inner[0] + width, outer["height"] - inner[1] + height
            self._ask("POST", "/window/rect", {"width": wide, "height": high})

    def run(self, script: str, *arguments: Any) -> Any:
        return self._ask("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def find(self, css: str) -> str:
        """The last such element, waited for."""
        until = time.monotonic() + WAIT_S
        while not (found := self._ask("POST", "/elements", {"using": "css selector", "value": css})):
            assert time.monotonic() < until, f"no {css} came"
            time.sleep(0.05)
        return str(found[-1][ELEMENT])

    def click(self, css: str) -> None:
        self._ask("POST", f"/element/{self.find(css)}/click", {})

    def type(self, css: str, text: str) -> None:
        self._ask("POST", f"/element/{self.find(css)}/value", {"text": text})

    def fill(self, css: str, text: str) -> None:
        """Type over what the field has."""
        self.type(css, CONTROL + "a" + UP)
        self.type(css, text)

    def reads(self, css: str, text: str) -> None:
        """Wait for an element that has the text."""
        script = "return [...document.querySelectorAll(arguments[0])].some(e => e.textContent.includes(arguments[1]))"
        until = time.monotonic() + WAIT_S
        while not self.run(script, css, text):
            shown = self.run("return document.body.innerText")
            assert time.monotonic() < until, f"{css} does not read {text!r}: {shown}"
            time.sleep(0.05)

    def shot(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(self._ask("GET", "/screenshot")))


@contextlib.contextmanager
def webkit(folder: Path) -> Iterator[WebKit]:
    """A window of a browser of its own, on a screen that nobody sees; both end with it."""
    with contextlib.ExitStack() as stack:
        read, write = os.pipe()
        display = _start(stack, ["Xvfb", "-displayfd", str(write), "-screen", "0", "1600x1000x24"], {}, write)
        os.close(write)
        with os.fdopen(read) as told:
            number = told.readline().strip()
        assert number, f"Xvfb ended with {display.poll()}"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        env = {"DISPLAY": f":{number}", "HOME": str(folder), "XDG_RUNTIME_DIR": str(folder), "GDK_BACKEND": "x11"}
        _start(stack, ["WebKitWebDriver", f"--port={port}", "--host=127.0.0.1"], env)
        http = stack.enter_context(httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=120, trust_env=False))
        yield WebKit(http, _session(stack, http))


def _start(
    stack: contextlib.ExitStack, command: list[str], env: dict[str, str], *fds: int
) -> "subprocess.Popen[bytes]":
    process = subprocess.Popen(
        command, env={"PATH": os.environ["PATH"], **env}, pass_fds=fds, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    stack.callback(process.wait)
    stack.callback(lambda: os.killpg(process.pid, signal.SIGKILL))
    return process


def _session(stack: contextlib.ExitStack, http: httpx2.Client) -> str:
    options = {"binary": str(mini_browser()), "args": ["--automation"]}
    wanted = {"capabilities": {"alwaysMatch": {"webkitgtk:browserOptions": options}}}
    until = time.monotonic() + WAIT_S
    while (answer := _tried(http, wanted)) is None:
        assert time.monotonic() < until, "WebKitWebDriver does not listen"
        time.sleep(0.05)
    session = str(answer.raise_for_status().json()["value"]["sessionId"])
    stack.callback(lambda: http.delete(f"/session/{session}"))
    return session


def _tried(http: httpx2.Client, wanted: dict[str, Any]) -> httpx2.Response | None:
    try:
        return http.post("/session", json=wanted)
    except httpx2.ConnectError:
        return None
