"""
A short cut for reviews in the very form in which Go's HTTP client, and so every API server, posts them.

It knows one form of request and nothing else of HTTP. The first request of a connection that differs in anything (a
header that is not listed here, chunks, compression, another method) goes to aiohttp with the whole connection, so what
HTTP is, is decided there. Per review this costs a third of aiohttp's way (docs/benchmarks.md).
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Callable
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from time import time
from typing import Final, cast

from webhook.adapters.http_server.replies import DEFAULT_TIMEOUT, Replies, Reply

_BEGINNING: Final = b"POST /"
_END_OF_HEAD: Final = b"\r\n\r\n"
_MAX_HEAD: Final = 4096
_MAX_AHEAD: Final = 64 * 1024
"""Bytes taken in while a review is being answered. API servers wait for the answer before they send more."""

# Names that say nothing about how a body is to be read. Content-Length exactly once: two are an attack.
_FIELD = rb"(?:Host|User-Agent|Accept|Accept-Encoding|Authorization|Content-Type|Traceparent|Tracestate): [ -~]*\r\n"
_HEAD: Final = re.compile(
    rb"POST (/[a-z]+)(?:\?timeout=([0-9]{1,3})s)? HTTP/1\.1\r\n"
    rb"(?:%(field)s)*Content-Length: ([0-9]{1,7})\r\n(?:%(field)s)*\r\n" % {b"field": _FIELD}
)


class Lanes:
    """The connections of one server that are on the short cut, and what they share."""

    def __init__(self, replies: Replies, *, max_body: int, idle: float, is_draining: Callable[[], bool]) -> None:
        """Answer with *replies*. A connection that was silent for *idle* seconds is closed."""
        self.replies = replies
        self.paths = {path.encode(): path for path in replies.paths}
        self.max_body = max_body
        self.idle = idle
        self.is_draining = is_draining
        self.open: set[FastLane] = set()
        self.under_way: set[asyncio.Task[None]] = set()

    async def close(self, *, patience: float) -> None:
        """Close what is idle at once, and the rest when it is answered, or after *patience* seconds."""
        for lane in tuple(self.open):
            lane.close_when_idle()
        if self.under_way:
            await asyncio.wait(self.under_way, timeout=patience)
        for lane in tuple(self.open):
            lane.abort()


class FastLane(asyncio.Protocol):
    """One connection. Requests are answered one after another, in the order in which they come."""

    def __init__(self, lanes: Lanes, other_way: Callable[[], asyncio.Protocol]) -> None:
        """Belong to *lanes*; *other_way* gives the protocol that takes over what is not for us."""
        self._lanes = lanes
        self._other_way = other_way
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._received = bytearray()
        self._is_busy = False
        self._is_last = False
        self._must_wait = False
        self._last_active = 0.0
        self._idle_check: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("socket")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # notice hosts that went away without a word
        self._lanes.open.add(self)
        self._close_if_idle()

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - why makes no difference
        """Forget the connection. What is being decided goes on: it is settled or expires like any other."""
        self._leave()

    def data_received(self, data: bytes) -> None:
        """Take in what has come, and start if that makes a request whole."""
        self._received += data
        if not self._is_busy:
            self._start_next()
        elif len(self._received) > _MAX_AHEAD:
            self._transport.pause_reading()

    def pause_writing(self) -> None:
        """Answer nothing more while the other side does not read."""
        self._must_wait = True

    def resume_writing(self) -> None:
        """Go on."""
        self._must_wait = False
        if not self._is_busy:
            self._start_next()

    def close_when_idle(self) -> None:
        """Close, after the answer to what is under way."""
        self._is_last = True
        if not self._is_busy:
            self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()

    def _start_next(self) -> None:
        received = self._received
        if self._must_wait or not received:
            return
        end = received.find(_END_OF_HEAD, 0, _MAX_HEAD)
        if end < 0 and len(received) < _MAX_HEAD and _BEGINNING.startswith(received[: len(_BEGINNING)]):
            return  # more will come
        head = _HEAD.match(received) if end >= 0 else None
        path = self._lanes.paths.get(head[1]) if head is not None else None
        if head is None or path is None or (length := int(head[3])) > self._lanes.max_body:
            self._hand_over()
            return
        begin = head.end()
        if len(received) < begin + length:
            return
        seconds = int(head[2]) if head[2] is not None else DEFAULT_TIMEOUT
        body = bytes(memoryview(received)[begin : begin + length])
        del received[: begin + length]
        self._is_busy = True
        task = self._loop.create_task(self._serve(path, body, seconds))
        self._lanes.under_way.add(task)
        task.add_done_callback(self._lanes.under_way.discard)

    async def _serve(self, path: str, body: bytes, seconds: int) -> None:
        reply = await self._lanes.replies.to(path, body, seconds=seconds)
        self._is_busy = False
        self._last_active = self._loop.time()
        if self._transport.is_closing():
            return
        closes = reply.come_back or self._is_last or self._lanes.is_draining()
        self._transport.write(_encoded(reply, closes=closes))
        if closes:
            self._transport.close()
            return
        self._transport.resume_reading()
        self._start_next()

    def _hand_over(self) -> None:
        """Let the other protocol have the connection, as if it had had it from the start of this request."""
        self._leave()
        other = self._other_way()
        received = bytes(self._received)
        self._transport.set_protocol(other)
        other.connection_made(self._transport)
        if self._must_wait:
            other.pause_writing()
        other.data_received(received)

    def _leave(self) -> None:
        self._lanes.open.discard(self)
        if self._idle_check is not None:
            self._idle_check.cancel()
            self._idle_check = None

    def _close_if_idle(self) -> None:
        now = self._loop.time()
        if self._is_busy or not self._last_active:
            self._last_active = now
        left = self._last_active + self._lanes.idle - now
        if left <= 0:
            self._transport.close()
        else:
            self._idle_check = self._loop.call_later(left, self._close_if_idle)


def _encoded(reply: Reply, *, closes: bool) -> bytes:
    kind = b"application/json" if reply.status == HTTPStatus.OK else b"text/plain; charset=utf-8"
    retry = b"Retry-After: 1\r\n" if reply.come_back else b""
    close = b"Connection: close\r\n" if closes else b""
    return b"HTTP/1.1 %b\r\nDate: %b\r\nContent-Type: %b\r\nContent-Length: %d\r\n%b%b\r\n%b" % (
        _status(reply.status),
        _date(int(time())),
        kind,
        len(reply.body),
        retry,
        close,
        reply.body,
    )


@lru_cache
def _status(code: int) -> bytes:
    return f"{code} {HTTPStatus(code).phrase}".encode()


@lru_cache(maxsize=1)
def _date(second: int) -> bytes:
    return formatdate(second, usegmt=True).encode()
