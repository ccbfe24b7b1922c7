"""
A port: accepts connections as far as `connections` has room for them, and ends those that it wants to end.

asyncio's own server accepts whatever comes, until the process has no memory or no file left.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import resource
import select
import socket
import ssl
import time
from collections.abc import Callable
from functools import partial

import structlog

from webhook.serving.connections import Connection, Connections
from webhook.serving.listening import listening

log = structlog.get_logger(__name__)

HANDSHAKE_SECONDS = 10.0
"""How long a TLS handshake may take. An API server gives up after 10 seconds itself."""

_CLOSING_SECONDS = 5.0
"""How long to wait for the other side to say goodbye in TLS."""

_ACCEPTS_AT_ONCE = 16
"""Connections accepted in one turn of the loop. A handshake costs as much as three reviews."""

_PAUSE_SECONDS = 0.05
"""Seconds until it is tried again when nothing can be accepted: all connections are at work, or no file is left."""

_SWEEP_SECONDS = 1.0
_LOG_INTERVAL = 10.0
_NO_MORE = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

_OTHER_FILES = 256
"""Files that a process has open beside its connections: about 30, and connections to API servers."""


def raise_file_limit(connections: int) -> int:
    """
    Have this process allow itself the files for so many connections; return the number that there is room for.

    A container may start with 1024 files although it may have more: systemd's default, and containerd's since 2.0.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = connections + _OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        if soft < needed:
            log.warning("few open files are allowed, so few connections are", files=soft)
    if soft == resource.RLIM_INFINITY:
        return connections
    return min(connections, max(soft - _OTHER_FILES, soft // 4))


class Listener:
    """Accepts connections until it is stopped. Belongs to one event loop."""

    def __init__(self, connections: Connections, protocol: Callable[[], asyncio.Protocol], tls: ssl.SSLContext) -> None:
        """Hand each connection to a new *protocol* after its handshake by *tls*."""
        self._connections = connections
        self._protocol = protocol
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        self._sockets: list[socket.socket] = []
        self._paused: dict[int, asyncio.TimerHandle] = {}
        self._handshakes: set[asyncio.Task[None]] = set()
        self._sweep: asyncio.TimerHandle | None = None
        self._next_log = 0.0

    async def start(self, host: str, port: int) -> int:
        """
        Listen, see `listening`; return the port, which the system chooses for port 0.

        Raises: OSError if it is taken.
        """
        self._sockets = await listening(host, port)
        for each in self._sockets:
            each.setblocking(False)
            self._loop.add_reader(each, self._accept, each)
        self._sweep_later()
        return int(self._sockets[0].getsockname()[1])

    def stop(self) -> None:
        """Accept what has connected already, and nothing more. What was accepted goes on."""
        for each in self._sockets:
            for _ in range(self._connections.most // _ACCEPTS_AT_ONCE):
                if each.fileno() in self._paused or not _is_readable(each):
                    break
                self._accept(each)
        for timer in (self._sweep, *self._paused.values()):
            if timer is not None:
                timer.cancel()
        self._sweep = None
        self._paused.clear()
        for each in self._sockets:
            self._loop.remove_reader(each)
            each.close()
        self._sockets.clear()

    def end_handshakes(self) -> None:
        """End all connections that have not come as far as a protocol."""
        for each in list(self._handshakes):
            each.cancel()

    def _accept(self, port: socket.socket) -> None:
        for number in range(_ACCEPTS_AT_ONCE):
            if number and not self._connections.has_room:
                return  # whether another one is waiting is told by the next turn, and only then one has to go
            if not self._connections.make_room():
                self._pause(port, "all connections have a review under way")
                return
            try:
                accepted, address = port.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _NO_MORE:
                    raise
                self._pause(port, error.strerror or str(error))
                return
            accepted.setblocking(False)
            self._begin(accepted, str(address[0]))

    def _begin(self, accepted: socket.socket, address: str) -> None:
        protocol = self._protocol()
        task = self._loop.create_task(self._handshake(accepted, protocol))
        self._handshakes.add(task)
        task.add_done_callback(partial(self._shaken, accepted))
        end, is_over = partial(_end, accepted, protocol, task), partial(_is_over, protocol, task)
        has_input = partial(_is_readable, accepted)
        self._connections.add(protocol, Connection(address, time.monotonic(), end, is_over, has_input=has_input))

    async def _handshake(self, accepted: socket.socket, protocol: asyncio.Protocol) -> None:
        try:
            await self._loop.connect_accepted_socket(
                lambda: protocol,
                accepted,
                ssl=self._tls,
                ssl_handshake_timeout=HANDSHAKE_SECONDS,
                ssl_shutdown_timeout=_CLOSING_SECONDS,
            )
        except OSError:  # whatever is wrong about it, whoever connects has to see to it
            self._connections.discard(protocol)
            accepted.close()

    def _shaken(self, accepted: socket.socket, handshake: asyncio.Task[None]) -> None:
        self._handshakes.discard(handshake)
        if handshake.cancelled():  # perhaps before it began
            accepted.close()

    def _pause(self, port: socket.socket, reason: str) -> None:
        """Let those that connect wait in the system's queue for a moment, instead of turning in circles."""
        self._loop.remove_reader(port)
        self._paused[port.fileno()] = self._loop.call_later(_PAUSE_SECONDS, self._go_on, port)
        if time.monotonic() >= self._next_log:
            self._next_log = time.monotonic() + _LOG_INTERVAL
            log.warning("new connections wait", reason=reason, connections=len(self._connections))

    def _go_on(self, port: socket.socket) -> None:
        del self._paused[port.fileno()]
        self._loop.add_reader(port, self._accept, port)

    def _sweep_later(self) -> None:
        self._sweep = self._loop.call_later(_SWEEP_SECONDS, self._swept)

    def _swept(self) -> None:
        self._connections.end_overdue(time.monotonic())
        self._sweep_later()


def _end(accepted: socket.socket, protocol: asyncio.Protocol, handshake: asyncio.Task[None]) -> None:
    transport: asyncio.Transport | None = getattr(protocol, "transport", None)
    if transport is not None:
        transport.abort()
        return
    with contextlib.suppress(OSError):
        accepted.shutdown(socket.SHUT_RDWR)
    handshake.cancel()


def _is_readable(end: socket.socket) -> bool:
    """Whether something has arrived there, a connection or bytes or the end of them."""
    if end.fileno() < 0:
        return False
    poll = select.poll()
    poll.register(end, select.POLLIN)
    return bool(poll.poll(0))


def _is_over(protocol: asyncio.Protocol, handshake: asyncio.Task[None]) -> bool:
    return handshake.done() and getattr(protocol, "transport", None) is None
