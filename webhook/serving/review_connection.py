"""
A connection on which reviews are posted, read by httptools, which takes half of what aiohttp does.

Anything else than a plain review is aiohttp's, be it whole or broken: from its first byte on the connection is handed
over, with all that has arrived. So what is not the hot path is read, bounded and answered in one way only.
"""

from __future__ import annotations

import asyncio
import importlib
import time
from collections.abc import Callable, Mapping
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from importlib.util import find_spec
from typing import Any, Final, Protocol, cast

from webhook.serving.bodies import MAX_BODY
from webhook.serving.replies import Reply

_END_OF_HEAD: Final = b"\r\n\r\n"

_LONGEST_HEAD: Final = 16 * 1024
"""Bytes. A head of an API server has less than 1 kB, and 3 with a token. A longer one is aiohttp's."""

MOST_HEADERS: Final = 24
LONGEST_HEADER: Final = 4096
"""
Bytes. A head that is not complete is in memory, on every connection. API servers send nine headers, and a sidecar may
add ten; a token has 1 to 2 kB.
"""

_MOST_WAITING: Final = 64 * 1024
"""Bytes that may wait while a review is being answered: nobody sends the next one before that."""

_MOST_UNSENT: Final = 64 * 1024
"""Bytes of answers that the caller has not taken yet: with more, no further request of it is begun."""

_MOST_UNREAD: Final = 256 * 1024
"""Bytes of a body that may wait to be counted."""


def is_available() -> bool:
    """Whether httptools is installed."""
    return find_spec("httptools") is not None


class OtherProtocol(Protocol):
    """What a connection becomes that is used for anything else: an aiohttp handler."""

    transport: asyncio.Transport | None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""

    def data_received(self, data: bytes) -> None:
        """Read *data*."""


class Answering(Protocol):
    """The server behind the connections."""

    @property
    def review_paths(self) -> Mapping[bytes, str]:
        """The paths that reviews are posted to, by their bytes."""

    async def answer_review(self, path: str, request: ReviewRequest) -> tuple[Reply, bool]:
        """Return the reply to *request*, and whether it is the last on its connection. Never raises."""

    def handed_over(self, connection: ReviewConnection, to: OtherProtocol) -> None:
        """Record that *connection* is read by *to* from now on."""

    def ended(self, connection: ReviewConnection) -> None:
        """Record that *connection* has ended."""


class BodyStream:
    """What has arrived of a body and was not read; what is said by `readany` and `is_eof` of aiohttp's streams."""

    def __init__(self, connection: ReviewConnection, length: int) -> None:
        self._connection = connection
        self._missing = length
        self._chunks: list[bytes] = []
        self._error: Exception | None = None
        self._changed: asyncio.Future[None] | None = None

    def feed(self, data: bytes) -> bytes:
        """Take from *data* what belongs to the body; return the rest."""
        own, rest = data[: self._missing], data[self._missing :]
        if own:
            self._chunks.append(own)
            self._missing -= len(own)
            self._wake()
        return rest

    def fail(self, error: Exception) -> None:
        """Record that nothing more will come."""
        if self._missing:
            self._error = error
            self._wake()

    def is_eof(self) -> bool:
        """Whether all of it has arrived, so that `read_nowait` returns it."""
        return not self._missing

    def read_nowait(self) -> bytes:
        """Return what has arrived."""
        chunks, self._chunks = self._chunks, []
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    @property
    def unread(self) -> int:
        """Return how many bytes have arrived that nobody has read."""
        return sum(map(len, self._chunks))

    async def readany(self) -> bytes:
        """Return what has arrived, after waiting for something; nothing at the end. Raises: ConnectionError."""
        while not self._chunks and self._missing:
            if self._error is not None:
                raise self._error
            self._changed = asyncio.get_running_loop().create_future()
            self._connection.go_on_reading()
            await self._changed
        found = self.read_nowait()
        self._connection.go_on_reading()
        return found

    def _wake(self) -> None:
        if self._changed is not None and not self._changed.done():
            self._changed.set_result(None)


class ReviewRequest:
    """One review, as far as `HttpServer` looks at requests: the same names as in aiohttp's."""

    __slots__ = ("content", "content_length", "headers", "protocol", "query_string")

    def __init__(
        self,
        protocol: ReviewConnection,
        headers: Mapping[str, str],
        query_string: str,
        content: BodyStream,
        length: int,
    ) -> None:
        self.protocol = protocol
        self.headers = headers
        self.query_string = query_string
        self.content = content
        self.content_length = length

    @property
    def remote(self) -> str | None:
        """Return the address of the caller."""
        peer = self.get_extra_info("peername")
        return str(peer[0]) if peer else None

    def get_extra_info(self, name: str) -> Any:
        """Return what the transport knows."""
        transport = self.protocol.transport
        return None if transport is None else transport.get_extra_info(name)


class _Head:
    """The head of a request, as httptools reports it."""

    def __init__(self) -> None:
        self.url = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.is_whole = False

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.is_whole = True


_KNOWN: Final = {b"authorization": "Authorization"}
_NOT_PLAIN: Final = frozenset({b"transfer-encoding", b"content-encoding", b"expect", b"upgrade", b"connection"})
"""Headers that say how a request or its connection is to be treated: none is sent with a review."""


class ReviewConnection(asyncio.Protocol):
    """Reads reviews of one connection, one after the other, and has *server* answer them."""

    def __init__(self, server: Answering, other: Callable[[], OtherProtocol]) -> None:
        """Become what *other* makes at the first request that is no plain review."""
        self._server = server
        self._make_other = other
        self._other: OtherProtocol | None = None
        self._transport: asyncio.Transport | None = None
        self._arrived = b""
        self._body: BodyStream | None = None
        self._answer: asyncio.Task[None] | None = None
        self._is_paused = False
        self._is_stalled = False
        self._is_closing = False

    @property
    def transport(self) -> asyncio.Transport | None:
        """The transport; None before the connection is made, and after it was lost."""
        return self._transport if self._other is None else self._other.transport

    @property
    def answer_under_way(self) -> asyncio.Task[None] | None:
        """The task that answers a review, if there is one."""
        return self._answer

    def close_when_answered(self) -> None:
        """Close the connection once the review that is being answered is; at once if there is none."""
        self._is_closing = True
        if self._answer is None and self._transport is not None:
            self._transport.close()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep *transport*: the handshake is over."""
        self._transport = cast("asyncio.Transport", transport)  # that of uvloop is none by its class
        self._transport.set_write_buffer_limits(high=_MOST_UNSENT)  # by default 512 kB, on each of 1024 connections

    def data_received(self, data: bytes) -> None:
        """Take what belongs to the body that is being read, and begin the next request with the rest."""
        if self._body is not None and not self._body.is_eof():
            data = self._body.feed(data)
            if self._body.unread > _MOST_UNREAD:
                self._pause()
        if data:
            self._arrived = self._arrived + data if self._arrived else data
        if self._answer is None and not self._is_stalled:
            self._begin()
        elif len(self._arrived) > _MOST_WAITING:
            self._pause()

    def pause_writing(self) -> None:
        """Begin no further request: the caller does not read the answers."""
        self._is_stalled = True
        self._pause()

    def resume_writing(self) -> None:
        """Begin the requests that have waited for the caller."""
        self._is_stalled = False
        self._go_on()

    def eof_received(self) -> None:
        """Fail the body that is not whole: nothing more will come, and the transport closes."""
        if self._body is not None:
            self._body.fail(ConnectionResetError("the caller has gone"))

    def connection_lost(self, exc: Exception | None) -> None:
        """End. A review that is being answered is decided all the same: it settles or expires like any other."""
        self._transport = None
        if self._body is not None:
            self._body.fail(exc or ConnectionResetError("the caller has gone"))
        self._server.ended(self)

    def go_on_reading(self) -> None:
        """Read what arrives again, after something of it was taken."""
        if self._is_paused and not self._is_stalled and self._transport is not None:
            self._is_paused = False
            self._transport.resume_reading()

    # One request after the other.

    def _pause(self) -> None:
        if not self._is_paused and self._transport is not None:
            self._is_paused = True
            self._transport.pause_reading()

    def _begin(self) -> None:
        """Begin to answer the request whose first bytes have arrived, if its head is whole."""
        arrived = self._arrived
        end = arrived.find(_END_OF_HEAD, 0, _LONGEST_HEAD)
        if end < 0:
            if len(arrived) >= _LONGEST_HEAD or not _may_be_review(arrived):
                self._hand_over()
            return
        end += len(_END_OF_HEAD)
        request = self._read(arrived[:end])
        if request is None:
            self._hand_over()
            return
        path, found = request
        self._body = found.content
        self._arrived = found.content.feed(arrived[end:])
        self._answer = asyncio.get_running_loop().create_task(self._answered(path, found))

    def _read(self, head: bytes) -> tuple[str, ReviewRequest] | None:
        """Return the path and the request; None for what is no plain review."""
        read, httptools = _Head(), _httptools()
        parser = httptools.HttpRequestParser(read)
        try:
            parser.feed_data(head)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):  # the latter is none of the former
            return None
        target, _, query = read.url.partition(b"?")
        path = self._server.review_paths.get(target)
        if not read.is_whole or path is None or parser.get_method() != b"POST" or parser.get_http_version() != "1.1":
            return None
        names = [name for name, _ in read.headers]
        is_long = len(names) > MOST_HEADERS or any(len(value) > LONGEST_HEADER for _, value in read.headers)
        if is_long or len(set(names)) < len(names) or not _NOT_PLAIN.isdisjoint(names):
            return None
        given = dict(read.headers)
        length = given.get(b"content-length", b"")
        if not (length.isdigit() and len(length) < 10 and int(length) <= MAX_BODY):
            return None
        told = {known: given[name] for name, known in _KNOWN.items() if name in given}
        headers = {name: value.decode("utf-8", "surrogateescape") for name, value in told.items()}
        content = BodyStream(self, int(length))
        return path, ReviewRequest(self, headers, query.decode("latin-1"), content, int(length))

    async def _answered(self, path: str, request: ReviewRequest) -> None:
        reply, is_last = await self._server.answer_review(path, request)
        self._answer = None
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        is_last = is_last or self._is_closing or not request.content.is_eof()
        transport.write(_response(reply, is_last=is_last))
        if is_last:
            transport.close()
            return
        self._body = None
        self._go_on()

    def _go_on(self) -> None:
        """Read again, and begin the request that has arrived meanwhile, unless one is being answered."""
        self.go_on_reading()
        if self._arrived and self._answer is None and not self._is_stalled:
            self._begin()

    def _hand_over(self) -> None:
        """Let aiohttp read this connection from the first byte on that was not answered."""
        transport, arrived = self._transport, self._arrived
        if transport is None:
            return
        self._arrived = b""
        self._other = other = self._make_other()
        self._server.handed_over(self, other)
        transport.set_protocol(cast("asyncio.BaseProtocol", other))
        other.connection_made(transport)
        other.data_received(arrived)


def _may_be_review(begun: bytes) -> bool:
    """Whether *begun* may be the begin of a POST."""
    return begun[:5] == b"POST "[: len(begun)]


def _response(reply: Reply, *, is_last: bool) -> bytes:
    return b"%bContent-Length: %d\r\nDate: %b\r\n%b%b\r\n%b" % (
        _first_lines(reply.status),
        len(reply.body),
        _date(int(time.time())),
        b"Retry-After: 1\r\n" if reply.retry else b"",
        b"Connection: close\r\n" if is_last else b"",
        reply.body,
    )


@lru_cache(maxsize=16)
def _first_lines(status: int) -> bytes:
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: application/json\r\n".encode()


@lru_cache(maxsize=2)
def _date(now: int) -> bytes:
    return formatdate(now, usegmt=True).encode()


@lru_cache(maxsize=1)
def _httptools() -> Any:
    """Return the module, which need not be installed where this one is imported."""
    return importlib.import_module("httptools")
