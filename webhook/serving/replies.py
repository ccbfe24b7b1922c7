"""
From the bytes of a review to the reply: the only place where errors become HTTP.

How bytes arrive and leave is in `http_server`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import structlog

from webhook.admission import review
from webhook.admission.review import AdmissionRequest, AdmissionResponse, ReviewError
from webhook.ports import UnavailableError

log = structlog.get_logger(__name__)

_GRACE = 0.05
"""Seconds that an answer may be late: it keeps the deadline itself, and knows the reason, which a timer does not."""

_RETRY_DELAY = 1.0
"""Seconds before another try: the least that `Retry-After` can ask for."""

_RETRY_NEEDS = 1.5
"""Seconds: the delay before another try, and half a second for its answer."""

ADVICE = "/advise"
"""
The path of reviews whose answer binds nobody: each pod is decided on later. A defect of ours must not refuse them; the
configuration lets the request go on where the call fails.
"""

_MAX_REMEMBERED = 10_000
"""Calls whose first deadline is remembered. Those that were repeated elsewhere, or not at all, stay in there."""

INTERNAL_ERROR = "internal error of userquota, see its log"

Answer = Callable[[AdmissionRequest, float], Awaitable[AdmissionResponse]]
"""Answers a request before a deadline on the monotonic clock. Raises: ReviewError, UnavailableError."""


class Meter(Protocol):
    """Counts answers and errors."""

    def answered(self, path: str, verdict: str, seconds: float) -> None:
        """Count an answer."""

    def count_error(self, reason: str) -> None:
        """Count an error; *reason* is one of a few words, never a text from outside."""

    def render(self) -> bytes:
        """Return everything in Prometheus' text format."""


@dataclass(frozen=True, slots=True)
class Reply:
    """
    What is sent over HTTP: JSON, an AdmissionReview with status 200 and a Status with all others.

    With `retry` the API server repeats the call within its own time-out (client-go's `WithRetry`), over another
    connection, so that the next try may reach another replica.
    """

    status: int
    body: bytes
    retry: bool = False


def error_reply(status: int, reason: str, message: str, *, retry: bool = False) -> Reply:
    """Return a Status, whose message the API server passes on: of any other text it tells the user nothing."""
    return Reply(status, review.error_status(status, reason, message), retry=retry)


def unavailable(message: str, *, retry: bool = False) -> Reply:
    """Return a 503."""
    return error_reply(503, "ServiceUnavailable", message, retry=retry)


class Replies:
    """Makes replies to reviews and counts them."""

    def __init__(self, answers: Mapping[str, Answer], meter: Meter) -> None:
        """Ask *answers*, by path."""
        self._answers = answers
        self._meter = meter
        self._first_deadlines: dict[str, float] = {}

    @property
    def paths(self) -> frozenset[str]:
        """Where reviews are posted to."""
        return frozenset(self._answers)

    async def to(self, path: str, body: bytes, *, deadline: float) -> Reply:
        """Return the reply to *body*, posted to *path*, by *deadline* on the monotonic clock. Never raises."""
        begun = time.perf_counter()
        reply, verdict = await self._answer(path, body, deadline)
        self._meter.answered(path, verdict, time.perf_counter() - begun)
        return reply

    async def _answer(self, path: str, body: bytes, deadline: float) -> tuple[Reply, str]:
        uid, answer = "", self._answers[path]
        try:
            request = review.decode(body)
            uid = request.uid
            # A call that is repeated has what is left of the time of its first try.
            deadline = min(deadline, self._first_deadlines.pop(uid, deadline))
            async with asyncio.timeout(deadline + _GRACE - time.monotonic()):
                answered = await _retried(answer, request, deadline)
        except ReviewError as error:
            self._meter.count_error("review")
            log.warning("unreadable review", reason=str(error), uid=error.uid)
            return error_reply(400, "BadRequest", str(error)), "unreadable"
        except UnavailableError as error:
            self._meter.count_error(error.reason)
            log.warning("no answer yet", reason=str(error), uid=uid)
            return unavailable(str(error), retry=self._has_time_for_a_retry(uid, deadline)), "not-ready"
        except TimeoutError:
            self._meter.count_error("deadline")
            log.warning("no answer in time", uid=uid)
            return unavailable("no answer in time"), "not-ready"
        except Exception:
            # A defect of ours. It refuses instead of failing the call, so that failurePolicy: Ignore does not allow.
            self._meter.count_error("internal")
            log.exception("internal error", uid=uid)
            if path == ADVICE:
                return error_reply(500, "InternalError", INTERNAL_ERROR), "failed"
            return Reply(200, review.encode(review.failed(uid, INTERNAL_ERROR))), "failed"
        verdict = answered.verdict
        if not answered.allowed and answered.status is not None:
            if verdict == "denied":
                log.info("denied", uid=uid, reason=answered.status.message)
            else:
                self._meter.count_error("unjudged")
                log.warning("refused, as it could not be judged", uid=uid, reason=answered.status.message)
        return Reply(200, review.encode(answered)), verdict

    def _has_time_for_a_retry(self, uid: str, deadline: float) -> bool:
        """
        Whether the API server can try again by *deadline*, which is then remembered for that try.

        It waits a second before, and forgets the reason of the first try: if the second one is late, the user sees a
        time-out only. So the last answer that can be in time does not ask for another one.
        """
        if deadline - time.monotonic() < _RETRY_NEEDS:
            return False
        if len(self._first_deadlines) >= _MAX_REMEMBERED:
            self._first_deadlines.clear()
        self._first_deadlines[uid] = deadline
        return True


async def _retried(answer: Answer, request: AdmissionRequest, deadline: float) -> AdmissionResponse:
    """
    Return the answer; ask again, while there is time, after an error that every other replica has too.

    A call that is sent from replica to replica runs into the API server's time-out, and the user learns no reason: each
    replica would begin with a new deadline.
    """
    while True:
        try:
            return await answer(request, deadline)
        except UnavailableError as error:
            if not error.affects_all or deadline - time.monotonic() < _RETRY_NEEDS:
                raise
        await asyncio.sleep(_RETRY_DELAY)
