"""
The server: listens, tells health and metrics, drains before it ends.

What is answered to a review lies in `replies`.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from aiohttp import web

from webhook.ports import Condition
from webhook.serving.replies import DEFAULT_TIMEOUT, Answer, Meter, Replies, Reply

MAX_BODY = 8 * 1024 * 1024
"""Bytes. The API server takes requests of 3 MiB; a review carries the object twice, grown by JSON."""

KEEP_ALIVE = 3630.0
"""Seconds. Must exceed the 90 s after which the API server drops idle connections: whoever closes first must be it."""

_PATIENCE = 60.0
"""Seconds that answers under way are waited for at the very end: twice what the API server ever waits for one."""


@dataclass(slots=True)
class Health:
    """What is asked before the replica says that it is ready: a condition that does not hold is a reason against it."""

    checks: Mapping[str, Callable[[], Condition]]
    remarks: Mapping[str, Callable[[], Condition]] = field(default_factory=dict)
    """Trouble that as a rule all replicas have: it is told and takes nobody out of service."""
    is_draining: bool = False

    def troubles(self) -> list[str]:
        """Give every reason why this replica should get no requests."""
        found = [f"{name}: {each.message}" for name, check in self.checks.items() if not (each := check()).ok]
        return ["draining", *found] if self.is_draining else found

    def told(self) -> list[str]:
        """Give what there is to say about a replica that is ready."""
        return [f"{name}: {each.message}" for name, check in self.remarks.items() if not (each := check()).ok]


class HttpServer:
    """Serves until told to stop; drains first."""

    def __init__(self, answers: Mapping[str, Answer], health: Health, metrics: Meter) -> None:
        """Answer reviews posted to the paths of *answers*."""
        self._replies = Replies(answers, metrics)
        self._health = health
        self._metrics = metrics
        self._runner: web.AppRunner | None = None

    async def start(self, host: str, port: int, tls: ssl.SSLContext) -> int:
        """Listen; give the port, which is chosen by the system for port 0. Raises: OSError if it is taken."""
        self._runner = web.AppRunner(
            self._application(),
            access_log=None,
            keepalive_timeout=KEEP_ALIVE,
            shutdown_timeout=_PATIENCE,
            # A handler goes on when the API server hangs up: what it held is settled or expires like any other.
            handler_cancellation=False,
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port, ssl_context=tls, backlog=1024).start()
        return int(self._runner.addresses[0][1])

    async def drain(self, seconds: float) -> None:
        """
        Stop being ready, keep answering for *seconds* while asking callers to reconnect elsewhere, then close.

        API servers go on using open connections to a pod that is shutting down, and do not repeat a call that is cut.
        """
        self._health.is_draining = True
        await asyncio.sleep(seconds)
        if self._runner is not None:
            await self._runner.cleanup()

    def _application(self) -> web.Application:
        app = web.Application(client_max_size=MAX_BODY)
        for path in self._replies.paths:
            app.router.add_post(path, self._review(path))
        app.router.add_get("/livez", self._livez)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._scrape)
        return app

    def _review(self, path: str) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            try:
                body = await request.read()  # 413 by aiohttp if it is too large
            except web.RequestPayloadError as error:
                return web.Response(status=400, text=f"the body cannot be read: {error}\n")
            reply = await self._replies.to(path, body, seconds=_seconds(request))
            response = _response(reply)
            if reply.come_back or self._health.is_draining:
                response.force_close()
            return response

        return handle

    async def _livez(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        troubles = self._health.troubles()
        lines = troubles or ["ok", *self._health.told()]
        return web.Response(status=503 if troubles else 200, text="\n".join([*lines, ""]))

    async def _scrape(self, _: web.Request) -> web.Response:
        text = await asyncio.get_running_loop().run_in_executor(None, self._metrics.render)
        return web.Response(body=text, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})


def _seconds(request: web.Request) -> int:
    given = request.query.get("timeout", "").removesuffix("s")
    return int(given) if given.isascii() and given.isdecimal() and len(given) < 4 else DEFAULT_TIMEOUT


def _response(reply: Reply) -> web.Response:
    headers = {"Retry-After": "1"} if reply.come_back else None
    content_type = "application/json" if reply.status in (200, 503) else "text/plain"
    return web.Response(status=reply.status, body=reply.body, headers=headers, content_type=content_type)
