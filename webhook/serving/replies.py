"""
From the bytes of a review to the reply: the only place where errors become HTTP.

How bytes come and go lies in `server`.
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

DEFAULT_TIMEOUT = 10
"""Seconds that the API server gives a webhook unless told otherwise."""

_SLACK = 0.05
"""Seconds after the deadline by which whoever answers has said what kept it. The rest is for the way back."""

_PAUSE = 1.0
"""Seconds before another try, the least that Retry-After can ask for."""

_ANOTHER_TRY = 1.5
"""Seconds: the pause before it, and half of one for an answer."""

_MOST_CALLED_BACK = 10_000
"""Calls whose first time is remembered; those that went to another replica, or were given up, never come."""

Answer = Callable[[AdmissionRequest, float], Awaitable[AdmissionResponse]]
"""Answers a request before a deadline on the monotonic clock. Raises: ReviewError, UnavailableError."""


class Meter(Protocol):
    """What counts our answers."""

    def answered(self, path: str, verdict: str, seconds: float) -> None:
        """Count an answer."""

    def trouble(self, reason: str) -> None:
        """Count trouble of our own."""

    def render(self) -> bytes:
        """Give everything in Prometheus' text format."""


@dataclass(frozen=True, slots=True)
class Reply:
    """
    What goes back over HTTP: JSON with status 200 and 503, else a line for people.

    With `come_back` the API server repeats the call within its own time-out (client-go's `WithRetry`), over another
    connection: the next try may reach another replica.
    """

    status: int
    body: bytes
    come_back: bool = False


class Replies:
    """Makes replies to reviews, and has them counted."""

    def __init__(self, answers: Mapping[str, Answer], meter: Meter) -> None:
        """Ask *answers*, by path."""
        self._answers = answers
        self._meter = meter
        self._called_back: dict[str, float] = {}

    @property
    def paths(self) -> frozenset[str]:
        """Where reviews are posted to."""
        return frozenset(self._answers)

    async def to(self, path: str, body: bytes, *, seconds: int) -> Reply:
        """Give the reply to what was posted to *path*; *seconds* is what the API server waits for it. Never raises."""
        begun = time.perf_counter()
        deadline = time.monotonic() + max(seconds, 1) * 0.9  # a tenth for the way back
        reply, verdict = await self._answer(body, self._answers[path], deadline)
        self._meter.answered(path, verdict, time.perf_counter() - begun)
        return reply

    async def _answer(self, body: bytes, answer: Answer, deadline: float) -> tuple[Reply, str]:
        uid = ""
        try:
            request = review.decode(body)
            uid = request.uid
            # A call that is repeated has what is left of its first time.
            deadline = min(deadline, self._called_back.pop(uid, deadline))
            # Whoever answers keeps the deadline, and knows better than we why there is no answer.
            async with asyncio.timeout(deadline + _SLACK - time.monotonic()):
                answered = await _tried_until_answered(answer, request, deadline)
        except ReviewError as error:
            self._meter.trouble("review")
            log.warning("unreadable review", why=str(error), uid=error.uid)
            return Reply(400, f"{error}\n".encode()), "unreadable"
        except UnavailableError as error:
            self._meter.trouble(error.reason)
            log.warning("no answer yet", why=str(error), uid=uid)
            come_back = self._call_back(uid, deadline)
            return Reply(503, review.unavailable(str(error)), come_back=come_back), "not-ready"
        except TimeoutError:
            self._meter.trouble("deadline")
            log.warning("no answer in time", uid=uid)
            return Reply(503, review.unavailable("no answer in time")), "not-ready"
        except Exception:
            # Our bug. A refusal instead of a failed call, so that it stays one where the failure policy is Ignore.
            self._meter.trouble("internal")
            log.exception("internal error", uid=uid)
            return Reply(200, review.encode(review.failed(uid, "internal error of userquota, see its log"))), "failed"
        if not answered.allowed and answered.status is not None:
            log.info("denied", uid=uid, why=answered.status.message)
        return Reply(200, review.encode(answered)), "allowed" if answered.allowed else "denied"

    def _call_back(self, uid: str, deadline: float) -> bool:
        """
        Say whether there is time for another try.

        The API server waits a second before it, and forgets why we sent it away: what it then tells the user is that
        time ran out. So the last answer is one that it passes on.
        """
        if deadline - time.monotonic() < _ANOTHER_TRY:
            return False
        if len(self._called_back) >= _MOST_CALLED_BACK:
            self._called_back.clear()
        self._called_back[uid] = deadline
        return True


async def _tried_until_answered(answer: Answer, request: AdmissionRequest, deadline: float) -> AdmissionResponse:
    """
    Give the answer, tried again as long as there is time where no other replica could give one either.

    Who was sent from replica to replica would be told by none of them what the trouble is: only time that runs out
    here is known here.
    """
    while True:
        try:
            return await answer(request, deadline)
        except UnavailableError as error:
            if not error.everywhere or deadline - time.monotonic() < _ANOTHER_TRY:
                raise
        await asyncio.sleep(_PAUSE)
