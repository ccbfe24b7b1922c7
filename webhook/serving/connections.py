"""
Which connections are kept where there are too many. What is done with sockets is in `listener`.

An idle connection costs 50 kB, and anybody whom the network lets through can open one. So their number is bounded, and
where it is reached those end first that have the least reason to be there.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

MOST_CONNECTIONS = 1024
"""
Each may have one review under way. Three API servers with their default of 200 writes at once each have 600, and keep
25 when they are idle. Idle ones make 55 MB in all, of the 256 MiB that the manifests give a container.
"""

_UNPROVEN_SHARE = 4
"""Where callers prove themselves, all others have a quarter of the connections: probes and scrapes need a few."""

FIRST_REQUEST_SECONDS = 10.0
"""
How long a connection may take from being accepted to the end of its first request's head. API servers, kubelets and
Prometheus connect because they have something to ask.
"""

IDLE_SECONDS = 120.0
"""How long a connection may be idle that has posted no review. Prometheus asks every 15 to 60 seconds."""


class Standing(enum.IntEnum):
    """What a connection has shown so far; the least deserving first."""

    NEW = 0
    """Not one whole head of a request."""
    OTHER = 1
    """Requests, but no review of a caller that may post one: a probe, a scrape, something refused."""
    REVIEWING = 2
    """A review, or another request for which a caller has to prove itself, of one that did or where none has to."""


@dataclass(slots=True, eq=False)
class Connection:
    """
    One connection. *used_at* is when it was accepted or last had a request, on the monotonic clock.

    While a review is *under_way* the connection is not ended. *end* ends it at once; *is_over* tells whether it has
    ended, and *has_input* whether something has arrived on it that was not read, be it a part of the handshake.
    """

    address: str
    used_at: float
    end: Callable[[], None]
    is_over: Callable[[], bool]
    standing: Standing = Standing.NEW
    under_way: bool = False
    has_input: Callable[[], bool] = lambda: False


class Connections:
    """The connections of one port. Belongs to one event loop."""

    def __init__(self, most: int = MOST_CONNECTIONS, *, must_prove: Callable[[], bool]) -> None:
        """Keep *most* at once; *must_prove* tells whether callers have to prove who they are."""
        self.most = most
        self._must_prove = must_prove
        self._open: dict[object, Connection] = {}

    def __len__(self) -> int:
        """Return how many there are, with those that have ended and were not yet forgotten."""
        return len(self._open)

    def __iter__(self) -> Iterator[Connection]:
        return iter(list(self._open.values()))

    def add(self, protocol: object, connection: Connection) -> None:
        """Keep *connection*, whose requests *protocol* reads."""
        self._open[protocol] = connection

    def of(self, protocol: object) -> Connection:
        """Return the connection of *protocol*; a stray one if it has ended."""
        return self._open.get(protocol) or Connection("", 0.0, end=lambda: None, is_over=lambda: True)

    def replace(self, protocol: object, other: object) -> None:
        """Record that *other* reads the requests of the connection of *protocol* from now on."""
        if protocol in self._open:
            self._open[other] = self._open.pop(protocol)

    def discard(self, protocol: object) -> None:
        """Forget the connection of *protocol*."""
        self._open.pop(protocol, None)

    def is_asked(self) -> bool:
        """Whether a request is under way or has arrived on any of them, or may arrive on one that is new."""
        return any(
            each.under_way or each.standing is Standing.NEW or each.has_input()
            for each in self._open.values()
            if not each.is_over()
        )

    @property
    def has_room(self) -> bool:
        """Whether there surely is room for one more, without ending any."""
        return len(self._open) < (self.most // _UNPROVEN_SHARE if self._must_prove() else self.most)

    def make_room(self) -> bool:
        """
        Return whether there is room for one more, after ending another one if it takes that.

        Those that proved themselves are the last to go, where callers have to. Of the others those go first whose
        address has most of them, so that a caller does not lose its connections to one that opens very many; among
        these the ones that have shown least, and the ones that were idle for longest.
        """
        if self.has_room:
            return True
        self._forget_ended()
        proofs = self._must_prove()
        unproven = {
            protocol: each
            for protocol, each in self._open.items()
            if not (proofs and each.standing is Standing.REVIEWING)
        }
        is_full = len(self._open) >= self.most
        if not is_full and (not proofs or len(unproven) < self.most // _UNPROVEN_SHARE):
            return True
        return self._end_one_of(unproven) or (is_full and self._end_one_of(self._open))

    def end_overdue(self, now: float) -> None:
        """Forget those that have ended; end those that are idle for longer than they may at *now*."""
        self._forget_ended()
        for protocol, each in list(self._open.items()):
            idle = now - each.used_at
            if not each.under_way and idle > _IDLE[each.standing]:
                self._end(protocol)

    def _end_one_of(self, some: dict[object, Connection]) -> bool:
        """End the one of *some* that deserves it most; return whether there is one that may be ended."""
        share = Counter(each.address for each in some.values())
        candidates = [(protocol, each) for protocol, each in some.items() if not each.under_way]
        if not candidates:
            return False
        worst, _ = min(candidates, key=lambda one: (-share[one[1].address], one[1].standing, one[1].used_at))
        self._end(worst)
        return True

    def _end(self, protocol: object) -> None:
        self._open.pop(protocol).end()

    def _forget_ended(self) -> None:
        for protocol, each in list(self._open.items()):
            if each.is_over():
                del self._open[protocol]


_IDLE = {Standing.NEW: FIRST_REQUEST_SECONDS, Standing.OTHER: IDLE_SECONDS, Standing.REVIEWING: float("inf")}
