"""
The HTTP side: bodies in, answers out, health and metrics. HTTP/1.1 over TLS, as the API server speaks it to webhooks.

The only place where errors become HTTP. What the answer is comes from the handlers it is given.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import structlog
from aiohttp import web

from webhook.admission import review
from webhook.admission.review import AdmissionRequest, AdmissionResponse, ReviewError
from webhook.ports import NotReadyError

log = structlog.get_logger(__name__)

MAX_BODY = 8 * 1024 * 1024
"""Bytes. The API server takes requests of 3 MiB; a review carries the object twice, grown by JSON."""

_KEEP_ALIVE = 3630.0
"""Seconds. Must exceed the 90 s after which the API server drops idle connections: whoever closes first must be it."""

_DEFAULT_TIMEOUT = 10
"""Seconds that the API server gives a webhook unless told otherwise."""

Answer = Callable[[AdmissionRequest, float], Awaitable[AdmissionResponse]]
"""Answers a request before a deadline on the monotonic clock. Raises: ReviewError, NotReadyError."""


class Meter(Protocol):
    """What counts our answers."""

    def answered(self, path: str, verdict: str, seconds: float) -> None:
        """Count an answer."""

    def trouble(self, reason: str) -> None:
        """Count trouble of our own."""

    def render(self) -> bytes:
        """Give everything in Prometheus' text format."""


@dataclass(slots=True)
class Health:
    """What is asked before the replica says that it is ready: each gives a reason against it, or an empty text."""

    checks: Mapping[str, Callable[[], str]]
    is_draining: bool = False

    def troubles(self) -> list[str]:
        """Give every reason why this replica should get no requests."""
        found = [f"{name}: {trouble}" for name, check in self.checks.items() if (trouble := check())]
        return ["draining", *found] if self.is_draining else found


class HttpServer:
    """Serves until told to stop; drains first."""

    def __init__(self, answers: Mapping[str, Answer], health: Health, metrics: Meter) -> None:
        """Answer reviews posted to the paths of *answers*."""
        self._answers = answers
        self._health = health
        self._metrics = metrics
        self._runner: web.AppRunner | None = None

    async def start(self, host: str, port: int, tls: ssl.SSLContext) -> int:
        """Listen; give the port, which is chosen by the system for port 0. Raises: OSError if it is taken."""
        app = web.Application(client_max_size=MAX_BODY)
        for path, answer in self._answers.items():
            app.router.add_post(path, self._review(path, answer))
        app.router.add_get("/livez", self._livez)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._scrape)
        # A handler goes on when the API server hangs up: what it held is settled or expires like any other.
        self._runner = web.AppRunner(app, access_log=None, keepalive_timeout=_KEEP_ALIVE, handler_cancellation=False)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port, ssl_context=tls, backlog=1024)
        await site.start()
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

    def _review(self, path: str, answer: Answer) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            body = await request.read()  # 413 by aiohttp if it is too large
            begun = time.perf_counter()
            response, verdict = await self._answer(body, answer, _budget(request))
            self._metrics.answered(path, verdict, time.perf_counter() - begun)
            if self._health.is_draining:
                response.force_close()
            return response

        return handle

    async def _answer(self, body: bytes, answer: Answer, budget: float) -> tuple[web.Response, str]:
        uid = ""
        try:
            request = review.decode(body)
            uid = request.uid
            async with asyncio.timeout(budget):
                answered = await answer(request, time.monotonic() + budget)
        except ReviewError as error:
            self._metrics.trouble("review")
            log.warning("unreadable review", why=str(error), uid=error.uid)
            return web.Response(status=400, text=f"{error}\n"), "unreadable"
        except NotReadyError as error:
            self._metrics.trouble(error.reason)
            log.warning("no answer yet", why=str(error), uid=uid)
            return _come_back(str(error)), "not-ready"
        except TimeoutError:
            self._metrics.trouble("deadline")
            log.warning("no answer in time", uid=uid, budget=budget)
            return _come_back("no answer in time"), "not-ready"
        except Exception:
            # Our bug. A refusal instead of a failed call, so that it stays one where the failure policy is Ignore.
            self._metrics.trouble("internal")
            log.exception("internal error", uid=uid)
            return _json(review.failed(uid, "internal error of userquota, see its log")), "failed"
        if not answered.allowed and answered.status is not None:
            log.info("denied", uid=uid, why=answered.status.message)
        return _json(answered), "allowed" if answered.allowed else "denied"

    async def _livez(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        troubles = self._health.troubles()
        return web.Response(status=503 if troubles else 200, text="\n".join([*troubles, ""]) if troubles else "ok\n")

    async def _scrape(self, _: web.Request) -> web.Response:
        text = await asyncio.get_running_loop().run_in_executor(None, self._metrics.render)
        return web.Response(body=text, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})


def _budget(request: web.Request) -> float:
    """Give the seconds we may take: what the API server waits for us, less a tenth for the way back."""
    given = request.query.get("timeout", "").removesuffix("s")
    seconds = int(given) if given.isascii() and given.isdecimal() and len(given) < 4 else _DEFAULT_TIMEOUT
    return max(seconds, 1) * 0.9


def _json(response: AdmissionResponse) -> web.Response:
    return web.Response(body=review.encode(response), content_type="application/json")


def _come_back(why: str) -> web.Response:
    """The API server repeats a call that is answered so, within its own time-out (client-go's `WithRetry`)."""
    response = web.Response(status=503, text=f"{why}\n", headers={"Retry-After": "1"})
    response.force_close()  # the next try may reach another replica
    return response
