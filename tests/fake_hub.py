"""A real HTTP server on loopback that answers as Hugging Face's hub does for one repository."""

import hashlib
import json
from http.server import BaseHTTPRequestHandler

from loopback import running

REPOSITORY = "somebody/a-model"
_COMMIT = "0123456789abcdef0123456789abcdef01234567"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self._answer(with_body=False)

    def do_GET(self):
        self._answer(with_body=True)

    def _answer(self, *, with_body):
        self.close_connection = True
        path = self.path.split("?")[0]
        if path.startswith(f"/api/models/{REPOSITORY}/tree/"):
            self._list()
        elif path.startswith(f"/{REPOSITORY}/resolve/"):
            self._give(path.split("/", 5)[-1], with_body=with_body)
        else:
            self._refuse()

    def _list(self):
        entries = [
            {"type": "file", "path": name, "size": len(content), "oid": _COMMIT}
            for name, content in self.server.files.items()
        ]
        self._send(200, {"Content-Type": "application/json"}, json.dumps(entries).encode())

    def _give(self, name, *, with_body):
        content = self.server.files.get(name)
        if content is None:
            self._refuse()
            return
        headers = {
            "ETag": f'"{hashlib.sha256(content).hexdigest()}"',
            "X-Repo-Commit": _COMMIT,
            "Accept-Ranges": "bytes",
        }
        wanted = self.headers.get("Range")
        start = int(wanted.removeprefix("bytes=").split("-")[0]) if wanted else 0
        self._send(206 if wanted else 200, headers, content[start:], with_body=with_body)

    def _refuse(self):
        self._send(404, {"X-Error-Code": "RepoNotFound"}, b"{}")

    def _send(self, status, headers, body, *, with_body=True):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")  # or the client tries to use it again
        self.end_headers()
        pause = self.server.seconds_per_piece
        for begin in range(0, len(body) if with_body else 0, 50_000):
            if pause and self.server.stopping.wait(pause):
                return
            try:
                self.wfile.write(body[begin : begin + 50_000])
            except OSError:  # the client has gone
                return

    def log_message(self, *_):
        pass


def serve_hub(files, seconds_per_piece=0.0):
    """Give the address of a hub whose one repository holds these files, bytes by name."""
    return running(_Handler, files=files, seconds_per_piece=seconds_per_piece)
