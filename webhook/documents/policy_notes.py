"""
Everything that an admin should know of a valid policy, each note at its place: the one source for all who tell.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from webhook.documents.device_notes import DeviceNames
from webhook.documents.mistake import Mistake, field_path
from webhook.documents.policy_text import PolicyReading, in_order
from webhook.quota.notices import Timetable

_SOON = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Facts:
    """
    What is known beside the texts: the time, the devices that objects of the cluster ask for, and the namespaces that
    the webhooks leave out.

    None of them is known where the policy is only read.
    """

    now: datetime | None = None
    devices: frozenset[str] = frozenset()
    exempt: frozenset[str] = frozenset()


def policy_notes(reading: PolicyReading, known: Facts) -> tuple[Mistake, ...]:
    """Return the notes on *reading*, in the order of the texts: those of the texts, and those that *known* adds."""
    found = (*_ended(reading, known), *_like_those_in_use(reading, known), *_left_out(reading, known))
    return in_order((*reading.notes, *found))


def ending_soon(reading: PolicyReading, now: datetime) -> tuple[Mistake, ...]:
    """Return what ends within the next seven days, in the order of the texts. That is as it was meant, and no note."""
    return in_order(each.ends for each in reading.endings if now < each.until <= now + _SOON)


def timetable_of(reading: PolicyReading) -> Timetable:
    """Return when what is to be told of the commitments and entries of *reading*: nothing of one with mistakes."""
    if reading.policy is None:
        return Timetable()
    return Timetable(reading.policy.commitments.every, (each for each in reading.endings if each.is_entry))


def _ended(reading: PolicyReading, known: Facts) -> Iterator[Mistake]:
    if known.now is not None:
        yield from (each.ended for each in reading.endings if each.until <= known.now)


def _left_out(reading: PolicyReading, known: Facts) -> Iterator[Mistake]:
    """
    Yield notes on entries of namespaces of which the API server does not ask. Accounts of these namespaces, and what is
    guaranteed to somebody there, may be of use in others.
    """
    policy = reading.policy
    if policy is None:
        return
    for name in sorted(policy.namespaces.keys() & known.exempt):
        if policy.refuses(policy.namespaces[name]):
            why = f"the webhooks leave namespace {name} out, and nothing in it is counted: this refuses nothing"
            yield Mistake(*reading.namespaces[name], field_path(("namespaces", name)), why)


def _like_those_in_use(reading: PolicyReading, known: Facts) -> Iterator[Mistake]:
    """Yield notes on devices that nobody asks for, and whose name is a slip of one that somebody does."""
    unused = [each for each in reading.devices if each.name not in known.devices]
    if not unused or not known.devices:
        return
    noted = {(each.source, each.position) for each in reading.notes}
    in_use = DeviceNames(known.devices)
    for each in unused:
        meant = in_use.meant_by(each.name)
        if meant is not None and (each.place.source, each.place.position) not in noted:
            yield each.meant(meant)
