"""
A clock that stops while any API server fails to renew its identity Lease. Reservations age by it.

A working API server persists an allowed write within 34 seconds or drops it. One that stands still (its machine is
suspended, its link to etcd hangs) may persist the write when it goes on, long after the request has timed out (seen on
1.37.2).

Each API server has a Lease, which it writes to etcd itself: it renews it every ten seconds, and deletes it when it
starts or is stopped in order (k8s.io/kubernetes `pkg/controlplane/apiserver/server.go`, 1.37.2).
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import NoReturn

from webhook.ports import READY, Condition, Sleep, UnavailableError

_LOOK_PAUSE = 5.0
"""Seconds between two looks."""

_RETRY_PAUSE = 1.0
"""Seconds after a look that failed."""

_LONGEST_LOOK = 10.0
"""Seconds until the list times out."""

_TRUSTED = 20.0
"""
Seconds after a sign of life for which an API server is taken to work: more than the 15 that pass until a look shows the
next renewal. Reservations are held for 40, so that time is left when an API server goes on.
"""

_MOST_LOOKS = 60
"""
Looks, five minutes of them, that show the same renewal: then an API server is taken to be gone for good. Kubernetes
deletes the Lease of a machine that died after an hour; no reservation should be held for as long. Looks that fail do
not count.
"""

_MOST_REFUSALS = 10
"""
Refused looks without a successful one, ten seconds of them: then the Leases are taken to be unreadable for good. An API
server that starts refuses good rights for a moment.
"""


class LeasesRefusedError(UnavailableError):
    """The API server answers and does not list the Leases: a right, or the API, is missing."""


@dataclass(slots=True)
class _Lease:
    """The renewal of an API server that was seen last: since when, in how many looks, and the last sign of life."""

    renewal: str
    shown_since: float
    alive_at: float
    looks: int = 0


class ApiServerLeases:
    """
    Counts the time in which every API server was seen to work. Which one handles a call is not known: all have to.

    A sign of life is a renewal that was seen to change, or a Lease that was created since the look before. The first
    look of a process is none: an API server that has stood still for long has its Lease as well. Ages survive restarts,
    so otherwise every restart would age reservations while an API server stands still.
    """

    def __init__(
        self,
        renewals: Callable[[], Awaitable[Mapping[str, str]]],
        *,
        monotonic: Callable[[], float],
        on_error: Callable[[UnavailableError], None],
        on_change: Callable[[Condition], None],
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        """
        Look at *renewals*: for each Lease a text that differs after each renewal.

        *renewals* raises LeasesRefusedError where trying again does not help. *on_error* is called for each look that
        fails or shows that an API server is not known to work, *on_change* for each new condition.
        """
        self._renewals = renewals
        self._monotonic = monotonic
        self._on_error = on_error
        self._on_change = on_change
        self._sleep = sleep
        self._leases: dict[str, _Lease] = {}
        self._looked_at: float | None = None  # when the last successful look began
        self._refusals = 0
        self._time = self._counted_until = monotonic()
        self._readable = READY
        self._reported = READY

    def time(self) -> float:
        """
        Count on, and return the seconds since some moment without those in which an API server was not known to work.

        Never ahead of the monotonic clock. Stands still until the first signs of life, up to 15 seconds after the
        start. Runs on where there is no Lease to look at, or none may be listed: see `condition`.
        """
        now = self._monotonic()
        self._time += max(0.0, min(now, self._known_to_work_until()) - self._counted_until)
        self._counted_until = now
        return self._time

    def condition(self) -> Condition:
        """Return whether every API server renews its Lease; otherwise which one does not, or why it is not known."""
        late = self._monotonic() - _TRUSTED
        overdue = sorted(name for name, lease in self._awaited().items() if lease.shown_since < late)
        if overdue:
            which = f"Leases {', '.join(overdue)} in kube-system"
            why = f"{which} are not renewed: reservations do not expire until they are"
            return Condition(ok=False, reason="api-server-still", message=why)
        if self._leases:
            return READY
        if not self._readable.ok or self._looked_at is None:
            return self._readable
        why = "an API server that stands still is not noticed: none has a Lease in kube-system"
        return Condition(ok=False, reason="api-server-leases", message=why)

    async def run(self) -> NoReturn:
        """Look until cancelled."""
        while True:
            pause = _LOOK_PAUSE if await self._look() else _RETRY_PAUSE
            if (condition := self.condition()) != self._reported:
                self._reported = condition
                self._on_change(condition)
            await self._sleep(pause)

    async def _look(self) -> bool:
        """Look once; return whether the Leases could be listed."""
        begun = self._monotonic()
        try:
            renewals = await self._renewals()
        except UnavailableError as error:
            self._failed(error)
            self._on_error(error)
            return False
        self._readable = READY
        self._refusals = 0
        self._note(renewals, begun)
        if not (condition := self.condition()).ok:
            self._on_error(UnavailableError(condition.reason, condition.message))
        return True

    def _failed(self, error: UnavailableError) -> None:
        self.time()  # up to now what was known before counts
        why = f"reservations do not expire until the Leases in kube-system can be listed: {error}"
        self._refusals += isinstance(error, LeasesRefusedError)
        if self._refusals >= _MOST_REFUSALS:
            why = f"an API server that stands still is not noticed: {error}"
            self._leases, self._looked_at = {}, None
        self._readable = Condition(ok=False, reason=error.reason, message=why)

    def _note(self, renewals: Mapping[str, str], begun: float) -> None:
        """Record the *renewals* that a look showed which began at *begun*."""
        self.time()  # up to now what was known before counts
        # After a gap between looks a renewal may be as old as the gap, and its API server may have stopped since.
        gap = _LOOK_PAUSE + _LONGEST_LOOK
        alive_at = -math.inf if self._looked_at is None else min(begun, self._looked_at + gap)
        before, self._leases = self._leases, {}
        for name, renewal in renewals.items():
            lease = before.get(name)
            if lease is None or lease.renewal != renewal:
                lease = _Lease(renewal, shown_since=begun, alive_at=alive_at)
            lease.looks += 1
            self._leases[name] = lease
        self._looked_at = begun

    def _known_to_work_until(self) -> float:
        if self._looked_at is None:
            return math.inf if self._refusals >= _MOST_REFUSALS else -math.inf
        return min((lease.alive_at + _TRUSTED for lease in self._awaited().values()), default=math.inf)

    def _awaited(self) -> Mapping[str, _Lease]:
        return {name: lease for name, lease in self._leases.items() if lease.looks <= _MOST_LOOKS}
