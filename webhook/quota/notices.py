"""
What is told of promises and entries: before they end, when they have ended, and when a promise begins.

Who writes it, and where, is not here.
"""

from __future__ import annotations

import enum
import math
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Generic, NamedTuple, Protocol, TypeAlias, TypeVar

from webhook.quota.commitments import HOLDING, Commitment, Pool, add_amounts
from webhook.quota.resources import Amount, show_list
from webhook.quota.subject import Subject
from webhook.quota.windows import written

BEFORE_END = (timedelta(days=7), timedelta(days=1))
"""How long before an end people are told."""

KEPT = timedelta(minutes=50)
"""
For how long a notice is told after its time, by whoever has not told it. An Event lasts an hour (`--event-ttl` of the
API server) and keeps others of its name out: the ten minutes between are for clocks that differ.
"""

MOST_NAMED = 10
"""Names in one notice, and commitments of one time that have a notice of their own."""

_EPOCH = datetime.fromtimestamp(0, UTC)
_SECOND = timedelta(seconds=1)


class Step(enum.Enum):
    """What is told: that something is in force, that it ends within a week or a day, that it has ended."""

    BEGUN = "begun"
    WEEK = "7 days"
    DAY = "1 day"
    ENDED = "ended"


_BEFORE: Mapping[Step, int] = {
    Step.WEEK: BEFORE_END[0] // _SECOND,
    Step.DAY: BEFORE_END[1] // _SECOND,
    Step.ENDED: 0,
}
"""Seconds before an end."""


class EntryEnd(Protocol):
    """The end of an entry or exemption of a policy."""

    @property
    def until(self) -> datetime:
        """From when on it is not in force."""

    @property
    def config_map(self) -> str:
        """The ConfigMap that has it."""

    @property
    def entry(self) -> str:
        """Its path and its place, in one line."""


class Notice(NamedTuple):
    """
    What is to be told of something in `config_map`. `reason` is CamelCase, as Events have it.

    `identity` is the same at every replica and after every restart, and of no two notices on one ConfigMap. It is due
    from the second `at` of Unix time on.
    """

    at: int
    config_map: str
    identity: str
    reason: str
    message: str
    is_warning: bool = True


T = TypeVar("T")

_Whose: TypeAlias = tuple[Subject, Pool, datetime]


class _Ordered(Generic[T]):
    """Things by the second at which they begin or end, the soonest first."""

    def __init__(self, timed: Iterable[tuple[int, T]]) -> None:
        ordered = sorted(timed, key=lambda each: each[0])
        self._seconds = [second for second, _ in ordered]
        self._things = [thing for _, thing in ordered]

    def between(self, after: int, last: int) -> Iterator[tuple[int, T]]:
        """Yield what is later than *after* and not later than *last*."""
        window = slice(bisect_right(self._seconds, after), bisect_right(self._seconds, last))
        return zip(self._seconds[window], self._things[window], strict=True)

    def next_after(self, second: int) -> int | None:
        """Return the first second later than *second*, None if nothing follows."""
        found = bisect_right(self._seconds, second)
        return self._seconds[found] if found < len(self._seconds) else None


class Timetable:
    """When what is to be told of the commitments and entries of one policy. It does not change."""

    def __init__(self, commitments: Sequence[Commitment] = (), entries: Iterable[EntryEnd] = ()) -> None:
        """
        Tell of *commitments* that are in force or guaranteed, and of *entries*.

        Of a commitment that is renewed neither that it ends nor that it has ended is told: see `renewed`.
        """
        held = [each for each in commitments if each.state in HOLDING]
        going_on = renewed(held)
        self._begins = _Ordered((_second(each.begins), each) for each in held if each.begins is not None)
        self._ends = _Ordered(
            (_second(each.ends), each) for each in held if each.ends is not None and each.name not in going_on
        )
        self._entries = _Ordered((_second(each.until), each) for each in entries)

    def due(self, now: datetime, told: Container[tuple[str, str]] = frozenset()) -> Iterator[Notice]:
        """
        Yield the notices whose time came within `KEPT` before *now*, but those *told*: pairs of ConfigMap and identity.

        What begins or ends at one second is told in few of them, however many they are.
        """
        second = (now - _EPOCH) // _SECOND
        begun = self._begins.between(second - KEPT // _SECOND, second)
        still = ((at, each) for at, each in begun if each.ends is None or second < _second(each.ends))
        yield from _of_commitments(Step.BEGUN, still, told)
        for step, before in _BEFORE.items():
            after, last = second + before - KEPT // _SECOND, second + before
            ends = self._ends.between(after, last)
            # A promise for a week is not told to end within a week when it begins.
            begun_before = (
                (at, each) for at, each in ends if each.begins is None or _second(each.begins) < at - before
            )
            yield from _of_commitments(step, begun_before, told)
            yield from _of_entries(step, self._entries.between(after, last), told)

    def seconds_to_next(self, now: datetime) -> float:
        """Return in how many seconds the next notice may be due, infinity if none ever will be."""
        second = (now - _EPOCH) // _SECOND
        times = [self._begins.next_after(second)]
        for before in _BEFORE.values():
            found = (self._ends.next_after(second + before), self._entries.next_after(second + before))
            times += [each - before for each in found if each is not None]
        # No datetime is made of them: some have none, as the second after the last one.
        upcoming = min((each for each in times if each is not None), default=None)
        return math.inf if upcoming is None else upcoming - (now - _EPOCH) / _SECOND


def renewed(commitments: Iterable[Commitment]) -> frozenset[str]:
    """
    Return the names of those *commitments* in whose place others come without a gap.

    Those promise the same holder as much of the same pool from the very time on at which they end. Where that is not
    enough for all that end then, it counts for those first that one of equal amounts follows, and then by name.
    """
    ending: defaultdict[_Whose, list[Commitment]] = defaultdict(list)
    following: defaultdict[_Whose, list[Commitment]] = defaultdict(list)
    for each in commitments:
        if each.ends is not None:
            ending[each.holder, each.pool, each.ends].append(each)
        if each.begins is not None:
            following[each.holder, each.pool, each.begins].append(each)
    found: set[str] = set()
    for key in ending.keys() & following.keys():
        found.update(_followed(ending[key], following[key]))
    return frozenset(found)


def _followed(ending: Iterable[Commitment], following: Sequence[Commitment]) -> Iterator[str]:
    left: dict[str, Amount] = {}
    for each in following:
        add_amounts(left, each.amounts)
    equals = Counter(frozenset(each.amounts.items()) for each in following)
    others: list[Commitment] = []
    for each in sorted(ending, key=_name):
        amounts = frozenset(each.amounts.items())
        if equals[amounts]:
            equals[amounts] -= 1
            add_amounts(left, {name: -amount for name, amount in amounts})
            yield each.name
        else:
            others.append(each)
    for each in others:
        if all(left.get(name, 0) >= amount for name, amount in each.amounts.items()):
            add_amounts(left, {name: -amount for name, amount in each.amounts.items()})
            yield each.name


def _of_commitments(
    step: Step, timed: Iterable[tuple[int, Commitment]], told: Container[tuple[str, str]]
) -> Iterator[Notice]:
    """Yield a notice for each of the first ten of one ConfigMap and time, by name, and one for all others."""
    for (config_map, second), listed in _grouped(timed, lambda each: each.place.partition("/")[0]).items():
        at = second - _BEFORE.get(step, 0)
        ordered = sorted(listed, key=_name)
        reason, is_warning = _REASONS[step], step is not Step.BEGUN
        for each in ordered[:MOST_NAMED]:
            identity = f"commitment/{step.value}/{second}/{each.name}"
            if (config_map, identity) not in told:
                message = _line(_message(step, each, _shown(second)))
                yield Notice(at, config_map, identity, reason, message, is_warning)
        others = ordered[MOST_NAMED:]
        identity = f"commitments/{step.value}/{second}"
        if others and (config_map, identity) not in told:
            head = f"{len(others)} more {'commitments' if len(others) > 1 else 'commitment'}"
            message = f"{head} {_says(step, second, is_one=len(others) == 1)}: {_named(others, _name)}"
            yield Notice(at, config_map, identity, reason, _line(message), is_warning)


def _of_entries(
    step: Step, timed: Iterable[tuple[int, EntryEnd]], told: Container[tuple[str, str]]
) -> Iterator[Notice]:
    """Yield one notice for all of one ConfigMap and time."""
    for (config_map, second), listed in _grouped(timed, lambda each: each.config_map).items():
        identity = f"entries/{step.value}/{second}"
        if (config_map, identity) not in told:
            reason = "EntryEnded" if step is Step.ENDED else "EntryEnding"
            is_one = len(listed) == 1
            head = f"{len(listed)} {'entry' if is_one else 'entries'} {_says(step, second, is_one=is_one)}"
            message = f"{head}: {_named(listed, _entry)}"
            yield Notice(second - _BEFORE[step], config_map, identity, reason, message)


_REASONS: Mapping[Step, str] = {
    Step.BEGUN: "CommitmentConfirmed",
    Step.WEEK: "CommitmentEnding",
    Step.DAY: "CommitmentEnding",
    Step.ENDED: "CommitmentEnded",
}


def _message(step: Step, each: Commitment, time: str) -> str:
    what = f"{show_list(sorted(each.amounts.items()))} of {each.pool} ({each.place})"
    begins = f"commitment {each.name} of {each.holder}"
    match step:
        case Step.BEGUN:
            end = "" if each.ends is None else f", until {written(each.ends)}"
            return f"{begins} is in force from {time} on{end}: {what}"
        case Step.ENDED:
            return f"{begins} ended at {time}: {what}. What runs stays, and is on demand"
        case _:
            todo = f"`userquota commitments renew {each.name} --into NEW --for PERIOD` promises the same again"
            return (
                f"{begins} ends at {time}, within {step.value}: {what}. {todo}; otherwise what runs is on demand then"
            )


def _says(step: Step, second: int, *, is_one: bool) -> str:
    time = _shown(second)
    match step:
        case Step.BEGUN:
            return f"{'is' if is_one else 'are'} in force from {time} on"
        case Step.ENDED:
            return f"ended at {time}"
        case _:
            return f"{'ends' if is_one else 'end'} at {time}, within {step.value}"


def _name(each: Commitment) -> str:
    return each.name


def _entry(each: EntryEnd) -> str:
    return each.entry


def _named(listed: Sequence[T], name: Callable[[T], str]) -> str:
    shown = ", ".join(map(name, listed[:MOST_NAMED]))
    return shown if len(listed) <= MOST_NAMED else f"{shown} and {len(listed) - MOST_NAMED} more"


def _line(text: str) -> str:
    """Return *text* on one line: names may have any character."""
    return "".join(each if each.isprintable() else "?" for each in text)


def _grouped(timed: Iterable[tuple[int, T]], config_map: Callable[[T], str]) -> Mapping[tuple[str, int], list[T]]:
    found: defaultdict[tuple[str, int], list[T]] = defaultdict(list)
    for second, each in timed:
        found[config_map(each), second].append(each)
    return found


def _second(moment: datetime) -> int:
    """Return the second of Unix time at which *moment* has come: what is within one second is told together."""
    return -((_EPOCH - moment) // _SECOND)


def _shown(second: int) -> str:
    return written(_EPOCH + second * _SECOND)
