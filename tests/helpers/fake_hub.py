"""A Hugging Face hub on this machine, that counts what it is asked for."""

import hashlib
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PIECE = 1 << 16


class FakeHub:
    """Repositories by name, each with files by name.

    Attributes:
        downloads: how often each file was sent whole.
        n_requests: of any kind.
        n_pieces: of files, that were sent or begun.
        delay: seconds before each piece of a file but the first.
    """

    def __init__(self, repositories: Mapping[str, Mapping[str, bytes]]):
        self.repositories = {name: dict(files) for name, files in repositories.items()}
        self.downloads: Counter[str] = Counter()
        self.n_requests = 0
        self.n_pieces = 0
        self.delay = 0.0
        self.address = ""

    def commit(self, repository: str) -> str:
        """The newest version: a digest of all files."""
        files = self.repositories[repository]
        return hashlib.sha1(repr(sorted(files.items())).encode()).hexdigest()


def _handler(hub: FakeHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def _answer(self, with_body: bool) -> None:
            hub.n_requests += 1
            repository, _, rest = self.path.lstrip("/").partition("/resolve/")
            revision, _, name = rest.partition("/")
            files = hub.repositories.get(repository)
            if files is None:
                return self._refuse("RepoNotFound")
            if revision not in ("main", hub.commit(repository)):
                return self._refuse("RevisionNotFound")
            if name not in files:
                return self._refuse("EntryNotFound", hub.commit(repository))
            content = files[name]
            self.send_response(200)
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("X-Repo-Commit", hub.commit(repository))
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if with_body:
                for i in range(0, len(content), PIECE):
                    hub.n_pieces += 1
                    time.sleep(hub.delay if i else 0)
                    self.wfile.write(content[i : i + PIECE])
                hub.downloads[f"{repository}/{name}"] += 1

        def _refuse(self, code: str, commit: str | None = None) -> None:
            self.send_response(404)
            self.send_header("X-Error-Code", code)
            if commit is not None:
                self.send_header("X-Repo-Commit", commit)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def handle(self) -> None:
            with suppress(BrokenPipeError, ConnectionResetError):  # a killed client
                super().handle()

    return Handler


@contextmanager
def serve(hub: FakeHub) -> Iterator[FakeHub]:
    """Answer at `hub.address`, a URL for HF_ENDPOINT, until the block ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    server.daemon_threads = True
    hub.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
