"""A server on loopback whose answers are written byte by byte, as no API server that works would send them."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.kubeconfigs import kubeconfig, written
from webhook.kube.api import KubernetesApi


def stream(*lines: bytes) -> bytes:
    body = b"".join(line + b"\n" for line in lines)
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


class Answers:
    """Answers each connection with the next answer; after the last one it is silent."""

    def __init__(self, answers: list[bytes]) -> None:
        self._answers = answers
        self._writers: list[asyncio.StreamWriter] = []
        self.requests: list[str] = []
        self.exhausted = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
        await reader.readexactly(int(length[1]) if length else 0)
        self.requests.append(head.split(b"\r\n")[0].decode())
        if len(self.requests) > len(self._answers):
            self.exhausted.set()
            return
        writer.write(self._answers[len(self.requests) - 1])
        writer.close()

    def close(self) -> None:
        for writer in self._writers:
            writer.close()


@asynccontextmanager
async def server(answers: list[bytes], folder: Path) -> AsyncIterator[tuple[KubernetesApi, Answers]]:
    """Serve *answers* on loopback; yield a client whose kubeconfig is in *folder*, and the server."""
    scripted = Answers(answers)
    listening = await asyncio.start_server(scripted.serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    api = await KubernetesApi.connect(kubeconfig=written(kubeconfig(url), folder))
    try:
        yield api, scripted
    finally:
        await api.close()
        scripted.close()
        listening.close()


def listed_by_watch(*objects: object) -> bytes:
    """Return the answer to a list by watch, which stays open."""
    end = {"resourceVersion": "9", "annotations": {"k8s.io/initial-events-end": "true"}}
    events: list[object] = [{"type": "ADDED", "object": each} for each in objects]
    events.append({"type": "BOOKMARK", "object": {"metadata": end}})
    body = b"".join(json.dumps(each).encode() + b"\n" for each in events)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (len(body), body)
