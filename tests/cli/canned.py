"""An API server on loopback with canned answers, for commands that run in this process."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from tests.kubeconfigs import kubeconfig, written

_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


@dataclass
class Cluster:
    """
    What is answered to a GET or a POST, by its path without a query; to all else that it is not there.

    Whoever asks may do all but what names a resource in `refused`. `asked` are the paths with their queries.
    """

    config: Path
    answers: dict[str, Any] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    heads: list[Mapping[str, str]] = field(default_factory=list)

    def answer(self, path: str, body: bytes) -> tuple[int, Any]:
        if path == _REVIEWS:
            resource = json.loads(body)["spec"]["resourceAttributes"]["resource"]
            return 201, {"status": {"allowed": resource not in self.refused}}
        if path in self.answers:
            found = self.answers[path]
            return found if isinstance(found, tuple) else (200, found)
        return 404, {"kind": "Status", "status": "Failure", "message": "the server could not find it", "code": 404}

    def has(self, collection: str, *items: Any) -> None:
        """Have *items* listed at the path *collection*."""
        self.answers[collection] = {"metadata": {"resourceVersion": "9"}, "items": list(items)}


@contextmanager
def answering(folder: Path) -> Iterator[Cluster]:
    """Serve canned answers; the kubeconfig is in *folder*."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            cluster.asked.append(self.path)
            cluster.heads.append(dict(self.headers.items()))
            status, answer = cluster.answer(self.path.partition("?")[0], body)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def do_GET(self) -> None:
            self.do_POST()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the library
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        cluster = Cluster(written(kubeconfig(f"http://127.0.0.1:{server.server_port}"), folder))
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield cluster
        finally:
            server.shutdown()
            thread.join()
