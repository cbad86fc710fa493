"""Stand-ins for auth services, which ask people for a button: answers as oauth2-proxy does to `auth_request` and
`forward_auth`; where the environment has `URL_PATH`, as traefik-forward-auth does, whose own paths are below that one
and come in `X-Forwarded-Uri`.

Run as a program: `asked.py PORT SUB=EMAIL=NAME…`.
"""

import os
import secrets
import sys
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote, urlsplit

PEOPLE = {person.partition("=")[0]: person.split("=") for person in sys.argv[2:]}
SESSIONS: dict[str, str] = {}
OWN = os.environ.get("URL_PATH", "")
COOKIE = "__Host-kaged_auth"
GONE = f"{COOKIE}=; Path=/; Secure; Max-Age=0"


class Asked(BaseHTTPRequestHandler):
    """`/oauth2/auth`, `/oauth2/start`, `/oauth2/sign_out`, or the same below a path."""

    def do_GET(self) -> None:
        below, _, path = urlsplit(self.path).path.rpartition("/oauth2/")
        query = parse_qs(urlsplit(self.path).query)
        held = self._held()
        who = SESSIONS.get(held)
        if path == "auth":
            given = dict(zip(("User", "Email", "Preferred-Username"), PEOPLE[who], strict=True)) if who else {}
            self._answer(202 if who else 401, {f"X-Auth-Request-{name}": value for name, value in given.items()})
        elif path == "sign_out":
            SESSIONS.pop(held, None)
            self._answer(302, {"Location": "/", "Set-Cookie": GONE})
        else:
            self._ask("post", f"{below}/oauth2/start", query.get("rd", ["/"])[0])

    def do_POST(self) -> None:
        said = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self._begin(302, said)

    def _held(self) -> str:
        held = SimpleCookie(self.headers.get("Cookie", "")).get(COOKIE)
        return held.value if held is not None else ""

    def _ask(self, method: str, action: str, back: str, status: int = 200) -> None:
        buttons = "".join(f'<button name="sub" value="{sub}">{sub}</button>' for sub in PEOPLE)
        form = f'<form method="{method}" action="{action}"><input name="rd" value="{back}">{buttons}</form>'
        self._answer(status, {"Content-Type": "text/html"}, form.encode())

    def _begin(self, status: int, said: dict[str, list[str]]) -> None:
        key = secrets.token_urlsafe(32)
        SESSIONS[key] = said["sub"][0]
        cookie = f"{COOKIE}={key}; Path=/; Secure; HttpOnly; SameSite=Lax"
        self._answer(status, {"Location": said["rd"][0], "Set-Cookie": cookie})

    def _answer(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value.encode().decode("latin-1"))
        self.end_headers()
        self.wfile.write(body)


class Forward(Asked):
    """All but a 2xx reaches the browser, so that the page with the buttons is a refusal."""

    def do_GET(self) -> None:
        asked = urlsplit(self.headers["X-Forwarded-Uri"])
        query, held = parse_qs(asked.query), self._held()
        if asked.path == f"{OWN}/logout":
            SESSIONS.pop(held, None)
            self._answer(401, {"Set-Cookie": GONE}, b"You have been logged out")
        elif asked.path == OWN and query.get("sub", [""])[0] in PEOPLE:
            self._begin(307, query)
        elif asked.path == OWN:
            self._ask("get", OWN, query.get("rd", ["/"])[0], 401)
        elif held in SESSIONS:
            self._answer(200, {"X-Forwarded-User": PEOPLE[SESSIONS[held]][1]})
        else:
            # A whole address, since Traefik takes a path to be one of this service
            site = f"{self.headers['X-Forwarded-Proto']}://{self.headers['X-Forwarded-Host']}"
            self._answer(307, {"Location": f"{site}{OWN}?rd={quote(site + asked.path)}"})


if __name__ == "__main__":
    service = Forward if OWN else Asked
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), service).serve_forever()
