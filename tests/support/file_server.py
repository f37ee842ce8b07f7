"""Files on 127.0.0.1 by HTTP, with and without a password, and a record of what was asked."""

import base64
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


class Files:
    """What is served, by path; and each request as method and path."""

    def __init__(self):
        self.contents = {}
        self.requests = []
        self.tags = True  # whether an answer says which content it is
        self.token = ""  # that the query must hold
        self.user = ""  # `name:password` that must be given
        self.url = ""

    def count(self, method):
        return sum(asked == method for asked, _ in self.requests)


@contextmanager
def serve_files():
    files = Files()

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.answer(with_body=False)

        def do_GET(self):
            self.answer(with_body=True)

        def answer(self, *, with_body):
            address = urlsplit(self.path)
            files.requests.append((self.command, address.path))
            content = files.contents.get(address.path)
            expected = base64.b64encode(files.user.encode()).decode()
            is_known = not files.user or self.headers.get("Authorization") == f"Basic {expected}"
            has_token = not files.token or parse_qs(address.query).get("token") == [files.token]
            status = 401 if not (is_known and has_token) else 404 if content is None else 200
            body = content if status == 200 else f"no {self.path}".encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            if files.tags and status == 200:
                self.send_header("ETag", f'"{hash(content)}"')
            self.end_headers()
            if with_body:
                self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    files.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield files
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
