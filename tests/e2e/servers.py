"""Local servers a caged day of work needs: git over HTTP and ssh, a Python index, an npm registry, plain files."""

import base64
import contextlib
import hashlib
import http.server
import io
import json
import os
import socket
import ssl
import subprocess
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

GIT = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null", "PATH": os.environ["PATH"]}
WHO = {
    f"GIT_{role}_{what}": f"{what.lower()}@example.com"
    for role in ("AUTHOR", "COMMITTER")
    for what in ("NAME", "EMAIL")
}


def git(folder: Path, *command: str) -> str:
    """Run git as somebody outside of every cage."""
    env = {**GIT, **WHO}
    return subprocess.run(["git", *command], cwd=folder, env=env, check=True, capture_output=True, text=True).stdout


def repository(folder: Path) -> Path:
    """A bare repository with one commit: a small C program and its test."""
    seed = folder / "seed"
    seed.mkdir(parents=True)
    (seed / "add.c").write_text('#include <stdio.h>\nint main(void) { printf("%d\\n", 20 + 22); return 0; }\n')
    (seed / "test.sh").write_text('#!/bin/sh\n[ "$(./add)" = 42 ] && echo all-good\n')
    git(seed, "init", "-q", "-b", "main")
    git(seed, "add", ".")
    git(seed, "commit", "-q", "-m", "start")
    git(folder, "clone", "-q", "--bare", str(seed), "repo.git")
    git(folder / "repo.git", "config", "http.receivepack", "true")
    return folder / "repo.git"


def wheel() -> bytes:
    """A Python package with one command."""
    data = io.BytesIO()
    info = "demo-1.0.dist-info"
    with zipfile.ZipFile(data, "w") as file:
        file.writestr("demo.py", "def main():\n    print('from the index')\n")
        file.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n")
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{info}/entry_points.txt", "[console_scripts]\ndemo = demo:main\n")
        file.writestr(f"{info}/RECORD", "")
    return data.getvalue()


def tarball(files: dict[str, str]) -> bytes:
    """A gzipped tar with executable files."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as file:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(text), 0o755
            file.addfile(entry, io.BytesIO(text.encode()))
    return data.getvalue()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    root: Path
    seen: list[str]
    login: str | None
    hold: Callable[[], object]

    def log_message(self, *_: Any) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        self.seen.append(f"{self.command} {self.headers['Host']} {self.path}")
        where = urlsplit(self.path).path
        if self.login is not None and self.headers["Authorization"] != self.login:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if where.partition(".git/")[1]:
            self._git()
            return
        body = self._file(where)
        self.send_response(200 if body else 404)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "application/json" if where == "/demo-pkg" else "text/html")
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def _file(self, where: str) -> bytes:
        package = tarball(
            {
                "package/package.json": '{"name": "demo-pkg", "version": "1.0.0", "main": "index.js"}',
                "package/index.js": "module.exports = 'from the registry'\n",
            }
        )
        digest = base64.b64encode(hashlib.sha512(package).digest()).decode()
        dist = {"tarball": f"http://{self.headers['Host']}/demo-pkg.tgz", "integrity": f"sha512-{digest}"}
        version = {"name": "demo-pkg", "version": "1.0.0", "dist": dist}
        index = {"name": "demo-pkg", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": version}}
        return {
            "/simple/demo/": b'<a href="/demo-1.0-py3-none-any.whl">demo-1.0-py3-none-any.whl</a>',
            "/demo-1.0-py3-none-any.whl": wheel(),
            "/demo-pkg": json.dumps(index).encode(),
            "/demo-pkg.tgz": package,
            "/tool.tar.gz": tarball({"bin/mytool": "#!/bin/sh\necho tool $1\n"}),
        }.get(where, b"")  # fmt: skip

    def _git(self) -> None:
        self.hold()
        parts = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length else self._chunks()
        env = {
            **GIT,
            "GIT_PROJECT_ROOT": str(self.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REMOTE_USER": "agent",
            "REQUEST_METHOD": self.command,
            "PATH_INFO": parts.path,
            "QUERY_STRING": parts.query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
        }
        done = subprocess.run(["git", "http-backend"], input=body, env=env, capture_output=True, check=True)
        head, _, rest = done.stdout.partition(b"\r\n\r\n")
        fields = [line.split(": ", 1) for line in head.decode().split("\r\n")]
        status = next((value for name, value in fields if name == "Status"), "200 OK")
        self.send_response(int(status.split()[0]))
        for name, value in fields:
            if name != "Status":
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        self.wfile.write(rest)

    def _chunks(self) -> bytes:
        body = b""
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        return body


def certificate(file: Path, host: str) -> Path:
    """A certificate of its own for `host` in `file`, with the key in `.key` beside it."""
    names = ("-subj", f"/CN={host}", "-addext", f"subjectAltName=DNS:{host}")
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    out = ("-out", str(file), "-keyout", str(file.with_suffix(".key")))
    subprocess.run(["openssl", "req", "-x509", *curve, *names, *out], check=True, capture_output=True)
    return file


@contextlib.contextmanager
def web(
    root: Path, *, cert: Path | None = None, login: str | None = None, hold: Callable[[], object] = lambda: None
) -> Iterator[tuple[int, list[str]]]:
    """A server of repositories below `root`, packages and files: its port and what was asked of it. With `cert` (see
    `certificate`) it speaks TLS; `login` is the Authorization that it wants; git waits in `hold` for each answer."""
    seen: list[str] = []
    handler = type("Handler", (_Handler,), {"root": root, "seen": seen, "login": login, "hold": staticmethod(hold)})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        if cert is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(cert, cert.with_suffix(".key"))
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server.server_port, seen
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def sshd(folder: Path) -> Iterator[tuple[int, Path]]:
    """A real sshd on a free port of 127.0.0.1 (needs root): the port and the key that may enter."""
    folder.mkdir(mode=0o700)
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    (folder / "keys").write_bytes((folder / "user.pub").read_bytes())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    Path("/run/sshd").mkdir(exist_ok=True)
    settings = {
        "Port": port,
        "ListenAddress": "127.0.0.1",
        "HostKey": folder / "host",
        "PidFile": "none",
        "AuthorizedKeysFile": folder / "keys",
        "StrictModes": "no",
        "UsePAM": "no",
        "PermitRootLogin": "yes",
        "SetEnv": f"HOME={folder}",
    }
    options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
    command = ["/usr/sbin/sshd", "-D", "-e", "-f", "/dev/null", *options]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert server.stderr is not None
        for line in server.stderr:
            if "Server listening" in line:
                break
        yield port, folder / "user"
    finally:
        server.terminate()
        server.wait()
        assert server.stderr is not None
        server.stderr.close()
