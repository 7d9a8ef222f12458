"""A real HTTP server on loopback that serves one file, well or badly."""

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Serving:
    """What the server does, and what it was asked."""

    content: bytes
    etag: str = '"1"'
    ranges: bool = True
    cut_after: list[int] = field(default_factory=list)  # bytes sent of the next answers
    status: int | None = None
    page: bytes | None = None
    page_type: str = "text/html; charset=utf-8"
    claimed_length: int | None = None
    wrong_range: bool = False
    seconds_per_piece: float = 0.0
    asked: list[dict] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        serving = self.server.serving
        serving.asked.append(dict(self.headers))
        serving.paths.append(self.path)
        self.close_connection = True
        if serving.status is not None:
            self.send_error(serving.status)
        elif serving.page is not None:
            self._answer(200, serving.page, {"Content-Type": serving.page_type})
        else:
            self._file(serving)

    def _file(self, serving):
        start = self._start(serving)
        total = len(serving.content)
        headers = {"Content-Type": "application/octet-stream"}
        if serving.etag:
            headers["ETag"] = serving.etag
        if start is None:
            self._answer(200, serving.content, headers)
        elif start >= total:
            self._answer(416, b"", {**headers, "Content-Range": f"bytes */{total}"})
        else:
            first = 0 if serving.wrong_range else start
            headers["Content-Range"] = f"bytes {first}-{total - 1}/{total}"
            self._answer(206, serving.content[first:], headers)

    def _start(self, serving):
        wanted = self.headers.get("Range")
        same = self.headers.get("If-Range") in (None, serving.etag)
        return int(wanted[6:-1]) if wanted and serving.ranges and same else None

    def _answer(self, status, body, headers):
        serving = self.server.serving
        length = len(body) if serving.claimed_length is None else serving.claimed_length
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        cut = serving.cut_after.pop(0) if serving.cut_after else len(body)
        for begin in range(0, cut, 10_000):
            if serving.seconds_per_piece:
                self.server.stopping.wait(serving.seconds_per_piece)
            try:
                self.wfile.write(body[begin : min(begin + 10_000, cut)])
            except OSError:  # the client has gone
                return

    def log_message(self, *_):
        pass


@contextmanager
def running(handler, **attributes):
    """Run a server with these attributes, ``stopping`` beside them; give its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.stopping = threading.Event()
    vars(server).update(attributes)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.stopping.set()
        server.shutdown()
        server.server_close()
        thread.join()


def serve(serving):
    """Give the address of a server that serves like this."""
    return running(_Handler, serving=serving)
