"""
The HTTP server: listens, answers health checks and scrapes, and drains before it ends.

What is answered to a review is in `replies`.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from urllib.parse import parse_qsl

import structlog
from aiohttp import web

from webhook.ports import Condition
from webhook.serving import review_connection
from webhook.serving.bodies import BodyBudget, BodyError, Incoming
from webhook.serving.callers import Callers, Proof
from webhook.serving.connections import MOST_CONNECTIONS, Connection, Connections, Standing
from webhook.serving.listener import Listener, raise_file_limit
from webhook.serving.overload import Overload
from webhook.serving.replies import ADVICE, INTERNAL_ERROR, Answer, Meter, Replies, Reply, error_reply, unavailable
from webhook.serving.review_connection import (
    LONGEST_HEADER,
    MOST_HEADERS,
    OtherProtocol,
    ReviewConnection,
    ReviewRequest,
)

log = structlog.get_logger(__name__)

DEFAULT_TIMEOUT = 10
"""Seconds that the API server waits for a webhook whose configuration does not say."""

LONGEST_TIMEOUT = 30
"""Seconds. Kubernetes takes no configuration with more; a caller that asks for more is none of its API servers."""

KEEP_ALIVE = 3630.0
"""
Seconds. More than the 90 after which the API server drops idle connections: if the server closes one first, a call that
is sent at that moment fails.
"""

_SHUTDOWN_TIMEOUT = 60.0
"""Seconds to wait for answers at the very end: twice what the API server ever waits for one."""

_LINGER_SECONDS, _LINGER_STEP = 2.0, 0.01
"""How long what has arrived is waited for at the end of a drain, and how often it is looked at."""

_LOG_INTERVAL = 10.0
"""Seconds between two lines about bad callers: there may be thousands of calls a second. A metric counts them."""

_OVERLOAD = "more reviews arrive than userquota can answer at this moment: try again in some seconds"
_LATER, _ELSEWHERE = unavailable(_OVERLOAD), unavailable(_OVERLOAD, retry=True)

_Handler = Callable[[web.BaseRequest], Awaitable[web.Response]]

_TAIL = 1024
"""Bytes at the end of a review: what the API server writes behind the objects takes less than half of it."""


@dataclass(slots=True)
class Health:
    """
    What `/readyz` answers. A check that fails takes this replica out of service.

    A warning is shown and does not: as a rule all replicas have it, and none could answer then.
    """

    checks: Mapping[str, Callable[[], Condition]]
    warnings: Mapping[str, Callable[[], Condition]] = field(default_factory=dict)
    is_draining: bool = False

    def failures(self) -> list[str]:
        """Return every reason why this replica should get no requests."""
        found = _messages(self.checks)
        return ["draining", *found] if self.is_draining else found

    def notes(self) -> list[str]:
        """Return the warnings."""
        return _messages(self.warnings)

    def states(self) -> Iterator[tuple[str, str, bool]]:
        """Yield each check with its name, its type `readyz` or `warning`, and whether it holds."""
        yield "draining", "readyz", not self.is_draining
        for kind, checks in (("readyz", self.checks), ("warning", self.warnings)):
            for name, check in checks.items():
                yield name, kind, check().ok


def _messages(checks: Mapping[str, Callable[[], Condition]]) -> list[str]:
    return [f"{name}: {each.message}" for name, check in checks.items() if not (each := check()).ok]


class HttpServer:
    """Serves until it is drained."""

    def __init__(self, answers: Mapping[str, Answer], health: Health, metrics: Meter, callers: Callers) -> None:
        """Answer reviews that *callers* post to the paths of *answers*."""
        self._replies = Replies(answers, metrics)
        self._health = health
        self._metrics = metrics
        self._callers = callers
        self._bodies = BodyBudget()
        self._overload = Overload()
        self._connections = Connections(MOST_CONNECTIONS, must_prove=lambda: callers.must_prove)
        self._listener: Listener | None = None
        self._runner: web.ServerRunner | None = None
        self._reading: set[ReviewConnection] = set()
        self.review_paths: Mapping[bytes, str] = {path.encode(): path for path in self._replies.paths}
        self._handlers: Mapping[tuple[str, str], _Handler] = {
            **{("POST", path): self._review(path) for path in self._replies.paths},
            **{
                (method, path): handler
                for method in ("GET", "HEAD")
                for path, handler in (("/livez", self._livez), ("/readyz", self._readyz), ("/metrics", self._scrape))
            },
        }
        self._next_log = 0.0
        self._next_overload_log = 0.0

    async def start(self, host: str, port: int, tls: ssl.SSLContext) -> int:
        """Listen; return the port, which the system chooses for port 0. Raises: OSError if it is taken."""
        server = web.Server(
            self._answer,
            access_log=None,
            keepalive_timeout=KEEP_ALIVE,
            # API servers compress nothing, and a few compressed bytes can become very many.
            auto_decompress=False,
            max_headers=MOST_HEADERS,
            max_field_size=LONGEST_HEADER,
            # A handler goes on when the API server hangs up: what it reserved is settled or expires like any other.
            handler_cancellation=False,
        )
        self._runner = web.ServerRunner(server, shutdown_timeout=_SHUTDOWN_TIMEOUT)
        await self._runner.setup()
        self._connections.most = raise_file_limit(MOST_CONNECTIONS)
        is_fast = review_connection.is_available()
        self._listener = Listener(self._connections, partial(self._reads, server) if is_fast else server, tls)
        return await self._listener.start(host, port)

    async def keep_fresh(self) -> None:
        """Reload for ever what callers are checked against; run it as a task."""
        await self._callers.keep_fresh()

    async def drain(self, seconds: float) -> None:
        """
        Stop being ready, go on answering for *seconds* while asking callers to reconnect elsewhere, then close.

        API servers go on using open connections to a pod that is shutting down, and do not repeat a call that is cut.
        """
        self._health.is_draining = True
        await asyncio.sleep(seconds)
        if self._listener is not None:
            self._listener.stop()
        await self._answer_what_has_arrived()
        await self._end_reading()
        if self._runner is not None:
            await self._runner.cleanup()
        if self._listener is not None:
            self._listener.end_handshakes()

    def _reads(self, server: web.Server) -> ReviewConnection:
        """Return what reads a new connection: reviews itself, everything else by *server*."""
        connection = ReviewConnection(self, server)
        self._reading.add(connection)
        return connection

    def handed_over(self, connection: ReviewConnection, to: OtherProtocol) -> None:
        """Record that *connection* is read by *to* from now on."""
        self._reading.discard(connection)
        self._connections.replace(connection, to)

    def ended(self, connection: ReviewConnection) -> None:
        """Record that *connection* has ended."""
        self._reading.discard(connection)

    async def _end_reading(self) -> None:
        """Close the connections on which reviews are read, each after the answer that is under way."""
        answers = [each.answer_under_way for each in self._reading if each.answer_under_way is not None]
        for each in tuple(self._reading):
            each.close_when_answered()
        if answers:
            await asyncio.wait(answers, timeout=_SHUTDOWN_TIMEOUT)

    async def _answer_what_has_arrived(self) -> None:
        """
        Return once nothing is asked on any connection. What has arrived on one that is closed unread is lost: its
        caller has written it already, and does not write it again.
        """
        end = time.monotonic() + _LINGER_SECONDS
        while self._connections.is_asked() and time.monotonic() < end:  # noqa: ASYNC110 - sockets tell nobody
            await asyncio.sleep(_LINGER_STEP)

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        """Answer one request. An application of aiohttp with its router would take a tenth longer for a review."""
        handler = self._handlers.get((request.method, request.path))
        if handler is not None:
            return await handler(request)
        self._asks(request)
        allowed = [method for method, path in self._handlers if path == request.path]
        raise web.HTTPMethodNotAllowed(request.method, allowed) if allowed else web.HTTPNotFound

    def _review(self, path: str) -> _Handler:
        async def handle(request: web.BaseRequest) -> web.Response:
            reply, is_last = await self._replied(path, request)
            response = _response(reply)
            if is_last:
                response.force_close()
            return response

        return handle

    async def answer_review(self, path: str, request: ReviewRequest) -> tuple[Reply, bool]:
        """Return the reply to a review, and whether it is the last on its connection. Never raises."""
        try:
            return await self._replied(path, request)
        except Exception:
            self._metrics.count_error("internal")
            log.exception("internal error")
            return error_reply(500, "InternalError", INTERNAL_ERROR), True

    async def _replied(self, path: str, request: Incoming) -> tuple[Reply, bool]:
        connection = self._asks(request)
        reply = self._rejection(request) or self._turned_away(request, is_binding=path != ADVICE)
        if reply is None:
            reply = await self._reply(path, request, connection)
        return reply, reply.retry or self._health.is_draining

    async def _reply(self, path: str, request: Incoming, connection: Connection) -> Reply:
        deadline = time.monotonic() + _seconds(request.query_string) * 0.9  # a tenth for the way back
        with self._bodies.receive(request, deadline=deadline) as body:
            try:
                content = await body.read()
            except BodyError as error:
                self._metrics.count_error(error.reason)
                self._warn("a review was not read", request, reason=error.reason)
                return error.reply
            if self._overload.is_near and _is_dry_run(content):
                reply = self._turned_away(request, is_binding=False)
                if reply is not None:
                    return reply
            connection.under_way = True
            try:
                reply = await self._replies.to(path, content, deadline=deadline)
            finally:
                connection.under_way = False
                connection.used_at = time.monotonic()
            if self._callers.must_prove or reply.status == 200:
                connection.standing = Standing.REVIEWING
            return reply

    def _asks(self, request: Incoming) -> Connection:
        """Return the connection of *request*, which has sent the whole head of it."""
        connection = self._connections.of(request.protocol)
        connection.used_at = time.monotonic()
        connection.standing = max(connection.standing, Standing.OTHER)
        return connection

    def _turned_away(self, request: Incoming, *, is_binding: bool) -> Reply | None:
        """Return the reply to a review that is not begun, because too many are; its body is not looked at."""
        if self._overload.admits(is_binding=is_binding):
            return None
        self._metrics.count_error("overload")
        if time.monotonic() >= self._next_overload_log:
            self._next_overload_log = time.monotonic() + _LOG_INTERVAL
            log.warning("more reviews arrive than can be answered", peer=request.remote)
        return _ELSEWHERE if self._overload.may_move() else _LATER

    def _rejection(self, request: Incoming) -> Reply | None:
        """Return the reply to a caller that does not prove to be the API server; its body is not read."""
        if not self._callers.must_prove:
            return None
        proof = self._callers.proof(request.get_extra_info("ssl_object"), request.headers)
        if proof is Proof.VALID:
            return None
        if proof is Proof.OUTDATED:
            self._metrics.count_error("outdated-connection")
            return unavailable("the trusted certificates have changed, connect again", retry=True)
        self._metrics.count_error("unauthenticated")
        self._warn("a caller did not prove to be the API server", request)
        message = "only the API server may post reviews: show a client certificate or a token, see manifests/README.md"
        return error_reply(401, "Unauthorized", message)

    def _warn(self, text: str, request: Incoming, **facts: str) -> None:
        """Log what a caller did wrong, now and then."""
        if time.monotonic() >= self._next_log:
            self._next_log = time.monotonic() + _LOG_INTERVAL
            log.warning(text, peer=request.remote, **facts)

    async def _livez(self, request: web.BaseRequest) -> web.Response:
        self._asks(request)
        return web.Response(text="ok\n")

    async def _readyz(self, request: web.BaseRequest) -> web.Response:
        self._asks(request)
        failures = self._health.failures()
        lines = failures or ["ok", *self._health.notes()]
        return web.Response(status=503 if failures else 200, text="\n".join([*lines, ""]))

    async def _scrape(self, request: web.BaseRequest) -> web.Response:
        self._asks(request)
        # On the loop: gauges read what only the loop may touch. It takes less than a millisecond.
        text = self._metrics.render()
        return web.Response(body=text, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})


@lru_cache(maxsize=64)
def _seconds(query: str) -> int:
    """Return how long the API server waits for the answer, as it says in the *query* of the URL: 1 to 30."""
    given = next((value for name, value in parse_qsl(query) if name == "timeout"), "").removesuffix("s")
    if given.isascii() and given.isdecimal() and len(given) < 4:
        return min(max(int(given), 1), LONGEST_TIMEOUT)
    return DEFAULT_TIMEOUT


def _is_dry_run(review: bytes) -> bool:
    """
    Whether *review* seems to be of a dry-run.

    It is not decoded for that: the API server writes this field behind the objects, and quotes in texts differently.
    """
    return b'"dryRun":true' in review[-_TAIL:]


def _response(reply: Reply) -> web.Response:
    headers = {"Retry-After": "1"} if reply.retry else None
    return web.Response(status=reply.status, body=reply.body, headers=headers, content_type="application/json")
