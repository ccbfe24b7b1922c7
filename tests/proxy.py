"""
A TCP proxy in front of a real API server, for the faults of networks: cut, stalled, refused, slow.

It forwards bytes as they are, TLS included; nothing of Kubernetes is imitated.
"""

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import yaml

_CHUNK = 2**16


class Proxy:
    """Listens on loopback and forwards connections to *target*, a URL. Use it as a context manager."""

    def __init__(self, target: str, *, port: int = 0) -> None:
        """Listen on *port*, by default on a free one."""
        parts = urlsplit(target)
        assert parts.hostname is not None
        assert parts.port is not None
        self._target = (parts.hostname, parts.port)
        self._port = port
        self._server: asyncio.Server | None = None
        self._streams: set[asyncio.StreamWriter] = set()
        self._gates: set[asyncio.Event] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.accepted = 0
        """The number of connections so far."""
        self.is_refusing = False
        self.latency = 0.0
        """Seconds that bytes take, each way; the throughput does not change."""
        self.stalls_after: int | None = None
        """The number of bytes after which the answers of the server stall, once; None for no stall."""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        self.stalls_after = None
        self.flow()
        self.cut()
        await asyncio.gather(*self._tasks)
        await self._server.wait_closed()
        await asyncio.sleep(0.01)  # for a client that was closing TLS with the other side stalled

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"https://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def kubeconfig(self, original: Path, folder: Path) -> Path:
        """Return a copy of a kubeconfig, in *folder*, that goes through the proxy."""
        document = yaml.safe_load(original.read_text())
        for entry in document["clusters"]:
            entry["cluster"]["server"] = self.url
        path = folder / "through-the-proxy.kubeconfig"
        path.write_text(yaml.safe_dump(document))
        return path

    def cut(self) -> None:
        """Reset every connection (RST, not FIN)."""
        for stream in self._streams:
            stream.transport.abort()

    def stall(self) -> None:
        """Stall the present connections: keep them, forward nothing; new ones work."""
        for gate in self._gates:
            gate.clear()

    def flow(self) -> None:
        """Continue stalled connections."""
        for gate in self._gates:
            gate.set()

    async def _serve(self, client_in: asyncio.StreamReader, client_out: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if self.is_refusing:
            client_out.transport.abort()
            return
        self.accepted += 1
        try:
            server_in, server_out = await asyncio.open_connection(*self._target)
        except OSError:  # the API server is down
            client_out.transport.abort()
            return
        streams = {client_out, server_out}
        gate = asyncio.Event()
        gate.set()
        self._streams |= streams
        self._gates.add(gate)
        await asyncio.gather(
            self._pass_on(client_in, server_out, gate), self._pass_on(server_in, client_out, gate, is_answer=True)
        )
        self._gates.discard(gate)
        self._streams -= streams
        for stream in streams:
            stream.transport.abort()

    async def _pass_on(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, gate: asyncio.Event, *, is_answer: bool = False
    ) -> None:
        """Read until the end or a reset; all is written *latency* later."""
        loop = asyncio.get_running_loop()
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        count = self._count if is_answer else _do_not_count
        delivery = asyncio.create_task(_deliver(under_way, sink, gate, count=count))
        with contextlib.suppress(OSError):
            while chunk := await source.read(_CHUNK):
                under_way.put_nowait((loop.time() + self.latency, chunk))
        under_way.put_nowait((loop.time() + self.latency, b""))
        await delivery

    def _count(self, number: int) -> None:
        if self.stalls_after is not None:
            self.stalls_after -= number
            if self.stalls_after < 0:
                self.stalls_after = None
                self.stall()


def _do_not_count(_: int) -> None:
    """Forward requests."""


async def _deliver(
    under_way: asyncio.Queue[tuple[float, bytes]],
    sink: asyncio.StreamWriter,
    gate: asyncio.Event,
    *,
    count: Callable[[int], None],
) -> None:
    """Write each chunk when it is due; what is due at the same time goes in one burst."""
    loop = asyncio.get_running_loop()
    with contextlib.suppress(OSError):
        while True:
            due, chunk = await under_way.get() if under_way.empty() else under_way.get_nowait()
            if due > loop.time():
                await asyncio.sleep(due - loop.time())
            count(len(chunk))
            if not gate.is_set():
                await gate.wait()
            if not chunk:
                break
            sink.write(chunk)
            if under_way.empty():
                await sink.drain()
    sink.transport.abort()  # no test needs half of a connection
