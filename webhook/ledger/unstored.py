"""
Creates that were allowed again and again and never stored, as where another admission webhook refuses them.

Each of them holds room for `expiry_seconds`, and nobody tells us that it failed. So of a series that came to nothing
one create at a time may hold room, until one is stored.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import NamedTuple

from webhook.ports import UnavailableError
from webhook.quota.reservation import CREATED, Reservation

_MOST_SERIES = 1000
"""Series that are remembered; the oldest are forgotten, which holds room for a while and admits nothing."""

_LAST_PART = re.compile(r"-[a-z0-9]+\Z", re.ASCII)


class Series(NamedTuple):
    """
    Creates that belong together: one owner's, in one namespace, with names that differ in their last part only.

    That part is what `generateName` adds, or the ordinal of a StatefulSet's pod.
    """

    owner: str
    resource: str
    namespace: str
    stem: str


def series_of(reservation: Reservation) -> Series:
    """Return the series of a create."""
    key = reservation.key
    return Series(reservation.payer.owner, key.resource, key.namespace, _LAST_PART.sub("", key.name))


class UnstoredSeries:
    """The series of which a create came to nothing, and none was stored since; and how many of each are in flight."""

    def __init__(self) -> None:
        """Know of none."""
        self._in_flight: dict[Series, Counter[str]] = {}
        self._suspects: dict[Series, None] = {}

    def held(self, reservation: Reservation) -> None:
        """Record that *reservation* holds room from now on."""
        if reservation.base == CREATED:
            self._in_flight.setdefault(series_of(reservation), Counter())[reservation.key.name] += 1

    def released(self, reservation: Reservation) -> None:
        """Record that *reservation* holds room no longer, for whatever reason."""
        if reservation.base == CREATED:
            series, name = series_of(reservation), reservation.key.name
            names = self._in_flight[series]
            names[name] -= 1
            if not names[name]:
                del names[name]
            if not names:
                del self._in_flight[series]

    def was_stored(self, reservation: Reservation) -> None:
        """Record that the object of *reservation* was seen: its series is as good as any."""
        if reservation.base == CREATED:
            self._suspects.pop(series_of(reservation), None)

    def came_to_nothing(self, reservation: Reservation) -> None:
        """Record that *reservation* expired and its object was never stored."""
        if reservation.base == CREATED:
            self._suspects[series_of(reservation)] = None
            if len(self._suspects) > _MOST_SERIES:
                del self._suspects[next(iter(self._suspects))]

    def is_suspect(self, reservation: Reservation) -> bool:
        """Whether a create of the series of *reservation* came to nothing, and none was stored since."""
        return series_of(reservation) in self._suspects

    def check(self, reservation: Reservation) -> None:
        """
        Check whether *reservation* may hold room now. Creates of one name share it, and so do not wait for each other.

        Raises: UnavailableError if it has to wait for another create of its series.
        """
        if reservation.base != CREATED:
            return
        series = series_of(reservation)
        if series in self._suspects and self._in_flight.get(series, Counter()).keys() - {reservation.key.name}:
            message = (
                f"{series.resource} {series.namespace}/{series.stem}-* of {series.owner} were allowed and never stored "
                f"(does another admission webhook refuse them?): they are tried one at a time until one is stored"
            )
            raise UnavailableError("unstored", message, affects_all=True)
