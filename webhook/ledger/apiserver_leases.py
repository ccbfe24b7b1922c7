"""
The pulse of the API servers: the time in which all of them are known to have worked.

As long as an API server works, what it was told to allow is persisted within 34 seconds, or never. If it stands still
(a machine is suspended, its link to etcd hangs) it does so when it goes on, though the time of the request is long over
(seen on 1.37.2). So what is in flight ages by this time, and not by that of a clock.

Each API server renews a Lease every ten seconds, by way of itself to etcd, and deletes it when it ends, or starts, in
order (k8s.io/kubernetes `pkg/controlplane/apiserver/server.go`, 1.37.2).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import NoReturn

from webhook.ports import READY, Condition, Sleep, UnavailableError

_BETWEEN_LOOKS = 5.0
"""Seconds."""

_UNTIL_ANOTHER_TRY = 1.0
"""Seconds, after a look that failed."""

_PATIENCE = 20.0
"""
Seconds after a renewal for which an API server is taken to work. A renewal and a look of ours take 15; what is in
flight is held for 40, so that there is time left when it goes on.
"""

_MOST_LOOKS = 60
"""
Looks, five minutes of them, that show the same renewal: then an API server is taken to be gone for good. Kubernetes
clears away the Lease of a machine that died after an hour; nobody's room should be held for as long. Looks that fail
are no sign of anything.
"""


@dataclass(slots=True)
class _Renewal:
    """The last renewal of an API server that was seen, since when, and how many looks have shown it."""

    renewal: str
    since: float
    looks: int = 0


class ApiServerLeases:
    """Knows for how long each API server has shown no sign of life. Which one made a call is not known: all count."""

    def __init__(
        self,
        renewals: Callable[[], Awaitable[Mapping[str, str]]],
        *,
        monotonic: Callable[[], float],
        on_trouble: Callable[[UnavailableError], None],
        on_change: Callable[[Condition], None],
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        """
        *renewals* gives, for each API server, what is another text whenever it has renewed its Lease.

        *on_trouble* hears of each look that failed or shows one standing still, *on_change* of each new condition.
        """
        self._renewals = renewals
        self._monotonic = monotonic
        self._on_trouble = on_trouble
        self._on_change = on_change
        self._sleep = sleep
        self._beats: dict[str, _Renewal] = {}
        self._time = self._counted_until = monotonic()
        self._unreadable = READY
        self._told = READY

    def time(self) -> float:
        """
        Give seconds from some moment on, without those in which an API server stood still.

        Never ahead of the monotonic clock. An API server that was never seen is taken to work.
        """
        now = self._monotonic()
        alive_until = min((each.since + _PATIENCE for each in self._awaited().values()), default=now)
        self._time += max(0.0, min(now, alive_until) - self._counted_until)
        self._counted_until = now
        return self._time

    def condition(self) -> Condition:
        """Return whether every API server renews its Lease; otherwise which one does not, or why it is not known."""
        late = self._monotonic() - _PATIENCE
        still = sorted(name for name, beat in self._awaited().items() if beat.since < late)
        if still:
            why = f"not renewed, so that nothing in flight is let go: the Leases {', '.join(still)} in kube-system"
            return Condition(ok=False, reason="api-server-still", message=why)
        return READY if self._beats else self._unreadable

    async def run(self) -> NoReturn:
        """Look until cancelled."""
        while True:
            pause = _BETWEEN_LOOKS if await self._look() else _UNTIL_ANOTHER_TRY
            if (condition := self.condition()) != self._told:
                self._told = condition
                self._on_change(condition)
            await self._sleep(pause)

    async def _look(self) -> bool:
        """Look once; say whether that was possible."""
        begun = self._monotonic()
        try:
            renewals = await self._renewals()
        except UnavailableError as error:
            why = f"whether an API server stands still is not known: {error}"
            self._unreadable = Condition(ok=False, reason=error.reason, message=why)
            self._on_trouble(error)
            return False
        self._unreadable = READY
        self._note(renewals, since=begun)
        if not (condition := self.condition()).ok:
            self._on_trouble(UnavailableError(condition.reason, condition.message))
        return True

    def _note(self, renewals: Mapping[str, str], *, since: float) -> None:
        self.time()  # up to now counts what was known until now
        before, self._beats = self._beats, {}
        for name, renewal in renewals.items():
            beat = before.get(name)
            if beat is None or beat.renewal != renewal:
                beat = _Renewal(renewal, since)
            beat.looks += 1
            self._beats[name] = beat

    def _awaited(self) -> Mapping[str, _Renewal]:
        return {name: beat for name, beat in self._beats.items() if beat.looks <= _MOST_LOOKS}
