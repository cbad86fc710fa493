"""An auth service for `auth_request` and `forward_auth`: answers as oauth2-proxy does, asks people for a button.

Run as a program: `asked.py PORT SUB=EMAIL=NAME…`.
"""

import secrets
import sys
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

PEOPLE = {person.partition("=")[0]: person.split("=") for person in sys.argv[2:]}
SESSIONS: dict[str, str] = {}
COOKIE = "__Host-kaged_auth"


class Asked(BaseHTTPRequestHandler):
    """`/oauth2/auth`, `/oauth2/start`, `/oauth2/sign_out`."""

    def do_GET(self) -> None:
        path, query = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
        held = SimpleCookie(self.headers.get("Cookie", "")).get(COOKIE)
        who = SESSIONS.get(held.value) if held is not None else None
        if path == "/oauth2/auth":
            given = dict(zip(("User", "Email", "Preferred-Username"), PEOPLE[who], strict=True)) if who else {}
            self._answer(202 if who else 401, {f"X-Auth-Request-{name}": value for name, value in given.items()})
        elif path == "/oauth2/sign_out":
            SESSIONS.pop(held.value if held is not None else "", None)
            self._answer(302, {"Location": "/", "Set-Cookie": f"{COOKIE}=; Path=/; Secure; Max-Age=0"})
        else:
            buttons = "".join(f'<button name="sub" value="{sub}">{sub}</button>' for sub in PEOPLE)
            back = query.get("rd", ["/"])[0]
            form = f'<form method="post" action="/oauth2/start"><input name="rd" value="{back}">{buttons}</form>'
            self._answer(200, {"Content-Type": "text/html"}, form.encode())

    def do_POST(self) -> None:
        said = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        key = secrets.token_urlsafe(32)
        SESSIONS[key] = said["sub"][0]
        cookie = f"{COOKIE}={key}; Path=/; Secure; HttpOnly; SameSite=Lax"
        self._answer(302, {"Location": said["rd"][0], "Set-Cookie": cookie})

    def _answer(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value.encode().decode("latin-1"))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Asked).serve_forever()
