"""
The bodies of reviews: how large one may be, how long it may take, and how much of them is in memory at once.

What they say is not looked at here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Protocol, Self

from aiohttp import web

from webhook.serving.replies import Reply, error_reply, unavailable

MAX_BODY = 20 * 1024 * 1024
"""
Bytes. A review carries an object twice, and Go writes `<`, `>` and `&` in JSON as six bytes: 1.5 MiB, which etcd stores
at most, x 6 x 2 = 18 MiB, and the envelope.
"""

MAX_BODIES = 64 * 1024 * 1024
"""
Bytes of all bodies that are being read or decided. A review has 5 to 20 kB as a rule, so that this is some thousands of
them, or three of the largest. With 40 of the largest at once a process grows by 112 MiB; it has 106 MB with 100 000
pods, and the manifests give a container 256 MiB. (Without this bound 40 bodies of 8 MiB made it grow by 500 MiB.)
"""


class Content(Protocol):
    """What arrives of a body, as aiohttp's streams have it."""

    def is_eof(self) -> bool:
        """Whether all of it has arrived."""

    def read_nowait(self) -> bytes:
        """Return what has arrived and was not read."""

    async def readany(self) -> bytes:
        """Return the same, after waiting for something; nothing at the end."""


class Incoming(Protocol):
    """A request, as far as the server looks at it. aiohttp's requests are such."""

    @property
    def protocol(self) -> object:
        """What reads its connection."""

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers, by the names that Go writes."""

    @property
    def query_string(self) -> str:
        """What stands behind the path."""

    @property
    def content_length(self) -> int | None:
        """What it promises to be its length."""

    @property
    def content(self) -> Content:
        """The body."""

    @property
    def remote(self) -> str | None:
        """The address of the caller."""

    def get_extra_info(self, name: str) -> Any:
        """Return what the transport knows."""


class BodyError(Exception):
    """A body that is not read, and the reply that says why. `reason` is a word for metrics."""

    def __init__(self, reason: str, reply: Reply) -> None:
        """Keep what is to be counted and sent."""
        super().__init__(reason)
        self.reason = reason
        self.reply = reply


class BodyBudget:
    """
    Bounds how many bytes of bodies are in memory at once.

    Counted is what has arrived, not what a Content-Length promises: a caller that promises much and sends nothing must
    not keep others out. Belongs to one event loop.
    """

    def __init__(self, capacity: int = MAX_BODIES) -> None:
        """Hold *capacity* bytes at most."""
        self._free = capacity

    def receive(self, request: Incoming, *, deadline: float) -> _Body:
        """Return a context for as long as the body of *request* is needed; what it gives is read by *deadline*."""
        return _Body(self, request, deadline)

    def check(self, size: int) -> None:
        """Raise BodyError if *size* more bytes cannot be held."""
        if size > self._free:
            message = "too many and too large reviews are being answered at this moment"
            raise BodyError("bodies", unavailable(message, retry=True))

    def take(self, size: int) -> None:
        """Hold *size* more bytes. Raises: BodyError."""
        self.check(size)
        self._free -= size

    def release(self, size: int) -> None:
        """Hold *size* fewer bytes."""
        self._free += size


class _Body:
    """The body of one request, held for as long as this context is open."""

    __slots__ = ("_budget", "_deadline", "_request", "_size")

    def __init__(self, budget: BodyBudget, request: Incoming, deadline: float) -> None:
        self._budget = budget
        self._request = request
        self._deadline = deadline
        self._size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._budget.release(self._size)

    async def read(self) -> bytes:
        """Return all of it. Raises: BodyError."""
        if self._request.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise BodyError("body", error_reply(415, "UnsupportedMediaType", "a review must not be compressed"))
        promised = self._request.content_length or 0
        self._check_size(promised)
        self._budget.check(promised)
        if self._request.content.is_eof():  # as of nearly all bodies: no timer is needed
            return self._kept(self._request.content.read_nowait())
        try:
            async with asyncio.timeout(self._deadline - time.monotonic()):
                return await self._received()
        except TimeoutError as error:
            raise BodyError("body-timeout", error_reply(408, "Timeout", "the body did not arrive in time")) from error
        except (web.RequestPayloadError, ConnectionError) as error:
            raise BodyError("body", error_reply(400, "BadRequest", f"the body cannot be read: {error}")) from error

    async def _received(self) -> bytes:
        chunks: list[bytes] = []
        while chunk := await self._request.content.readany():
            chunks.append(self._kept(chunk))
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def _kept(self, chunk: bytes) -> bytes:
        """Return *chunk*, which counts from now on."""
        self._check_size(self._size + len(chunk))
        self._budget.take(len(chunk))
        self._size += len(chunk)
        return chunk

    def _check_size(self, size: int) -> None:
        if size > MAX_BODY:
            message = f"the review is larger than {MAX_BODY} bytes, which is the most that is read"
            raise BodyError("body-too-large", error_reply(413, "RequestEntityTooLarge", message))
