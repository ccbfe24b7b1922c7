"""An index that missed something is found out, and one that is merely late never is."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes import by_payer
from tests.quota.api_story import Api, Event, Verb
from tests.quota.bookings import ALICE, KEY, OTHER, bind, cpu, row
from webhook.ledger.usage_audit import Kind, Listing, Look, Suspicion, Verdict, confirm, look, snapshot, suspicions
from webhook.quota.objects import ObjectKey, StoredVersion
from webhook.quota.usage import Row, UsageIndex

Listed = dict[ObjectKey, StoredVersion]


def indexed(*rows: tuple[ObjectKey, Row], position: int) -> UsageIndex:
    index = UsageIndex(by_payer(bind))
    for key, each in rows:
        index.observe(key, each)
    index.reached("pods", position)
    return index


def found(index: UsageIndex, stored: Listed, *, version: int) -> list[tuple[Kind, ObjectKey, str]]:
    return [
        (each.kind, each.key, each.uid)
        for each in suspicions(snapshot(index, "pods"), Listing("pods", version, stored))
    ]


SUSPECTED: dict[str, tuple[UsageIndex, Listed, list[tuple[Kind, ObjectKey, str]]]] = {
    "nothing, where both agree": (indexed((KEY, row(5)), position=9), {KEY: StoredVersion("u1", 5)}, []),
    "nothing, where the index is ahead": (indexed((KEY, row(12)), position=12), {KEY: StoredVersion("u1", 5)}, []),
    "nothing, of what the watch has not come to": (indexed(position=4), {KEY: StoredVersion("u1", 5)}, []),
    "an object that the index lacks": (indexed(position=5), {KEY: StoredVersion("u1", 5)}, [(Kind.MISSING, KEY, "u1")]),
    "a change that the index lacks": (
        indexed((KEY, row(4)), position=9),
        {KEY: StoredVersion("u1", 5)},
        [(Kind.MISSING, KEY, "u1")],
    ),
    "an object that is gone": (indexed((KEY, row(4)), position=9), {}, [(Kind.PHANTOM, KEY, "u1")]),
    "an object that is gone, on a watch that may be late": (
        indexed((KEY, row(4)), position=4),
        {},
        [(Kind.PHANTOM, KEY, "u1")],
    ),
    "one that was replaced": (
        indexed((KEY, row(4)), position=9),
        {KEY: StoredVersion("u2", 8)},
        [(Kind.MISSING, KEY, "u2"), (Kind.PHANTOM, KEY, "u1")],
    ),
    "nothing, of what is newer than the list": (indexed((OTHER, row(11)), position=11), {}, []),
}


@pytest.mark.parametrize(("index", "stored", "expected"), SUSPECTED.values(), ids=SUSPECTED.keys())
def test_a_list_of_version_nine_makes_suspect(
    index: UsageIndex, stored: Listed, expected: list[tuple[Kind, ObjectKey, str]]
) -> None:
    assert found(index, stored, version=9) == expected


MISSING = Suspicion(Kind.MISSING, KEY, "u1", listed_at=9)
PHANTOM = Suspicion(Kind.PHANTOM, KEY, "u1", listed_at=9)
JUDGED: dict[str, tuple[Suspicion, Look, StoredVersion | None, Verdict]] = {
    "missing, and it was deleted since": (MISSING, Look(None, 9), None, Verdict.FINE),
    "missing, and the index has it by now": (MISSING, Look(row(5), 9), StoredVersion("u1", 5), Verdict.FINE),
    "missing, and the index has it at a newer version": (
        MISSING,
        Look(row(8), 9),
        StoredVersion("u1", 5),
        Verdict.FINE,
    ),
    "missing still, before a position that the watch had come to": (
        MISSING,
        Look(None, 9),
        StoredVersion("u1", 5),
        Verdict.DRIFT,
    ),
    "missing in its present state": (MISSING, Look(row(4), 9), StoredVersion("u1", 5), Verdict.DRIFT),
    "missing, and changed again after that position": (MISSING, Look(None, 9), StoredVersion("u1", 10), Verdict.OPEN),
    "missing, and its successor is, too": (MISSING, Look(None, 9), StoredVersion("u2", 8), Verdict.DRIFT),
    "phantom, and the watch has not come to the list": (PHANTOM, Look(row(5), 8), None, Verdict.OPEN),
    "phantom still, at the version of the list": (PHANTOM, Look(row(5), 9), None, Verdict.DRIFT),
    "phantom, though another has the name": (PHANTOM, Look(row(5), 9), StoredVersion("u2", 9), Verdict.DRIFT),
    "phantom, and the index heard of the end": (PHANTOM, Look(None, 9), None, Verdict.FINE),
    "phantom, and the index heard of its successor": (
        PHANTOM,
        Look(row(10, uid="u2"), 10),
        StoredVersion("u2", 10),
        Verdict.FINE,
    ),
    "phantom, and it is stored after all": (PHANTOM, Look(row(5), 9), StoredVersion("u1", 5), Verdict.FINE),
    "phantom, and it changed after the list": (PHANTOM, Look(row(10), 10), None, Verdict.FINE),
}


@pytest.mark.parametrize(("suspicion", "seen", "stored", "expected"), JUDGED.values(), ids=JUDGED.keys())
def test_a_second_look_tells(suspicion: Suspicion, seen: Look, stored: StoredVersion | None, expected: Verdict) -> None:
    assert confirm(suspicion, seen, stored) is expected


SLOTS = (KEY, OTHER)
VERBS = st.sampled_from([Verb.UPDATE, Verb.BUMP_STATUS, Verb.DELETE])  # a pod never stops and starts again


@dataclass
class Told:
    """An index, and a watch that tells it what happens: late, and all of it but what it is made to lose."""

    api: Api = field(default_factory=lambda: Api(["pods"]))
    index: UsageIndex = field(default_factory=lambda: UsageIndex(by_payer(bind)))
    told: int = 0

    @property
    def events(self) -> list[Event]:
        return self.api.stories["pods"].events

    def tell(self, count: int, *, lost: int = 0) -> None:
        """Tell *count* events and lose those whose bit is set in *lost*. The position moves on all the same."""
        for number, event in enumerate(self.events[self.told : self.told + count]):
            if not lost >> number & 1:
                self.hear(event)
            self.index.reached("pods", event.row.version)
        self.told = min(self.told + count, len(self.events))

    def hear(self, event: Event) -> None:
        if event.deleted:
            self.index.forget(event.key, event.row.uid, event.row.version)
        else:
            self.index.observe(event.key, event.row)

    def stored(self) -> Listed:
        present = self.api.stories["pods"].present(len(self.events))
        return {key: StoredVersion(event.row.uid, event.row.version) for key, event in present.items()}

    def listing(self) -> Listing:
        return Listing("pods", self.api.version, self.stored())


Step = Verb | int
meantime = st.lists(st.sampled_from([Verb.DELETE, Verb.UPDATE, 1, 9]), max_size=4)
"""What happens between two steps of an audit: changes of one name, and so many events told to the index."""


def go_on(world: Told, steps: list[Step]) -> None:
    """Deleting what is not there makes it."""
    for step in steps:
        if isinstance(step, Verb):
            world.api.change(KEY, [(step, ALICE, cpu(world.api.version + 1))])
            continue
        world.tell(step)
        if world.told == len(world.events):  # a bookmark: others have moved the store on
            world.api.version += 1
            world.index.reached("pods", world.api.version)


@settings(max_examples=500)
@given(steps=st.tuples(meantime, meantime, meantime, meantime))
def test_an_index_that_is_merely_late_is_never_called_wrong(steps: tuple[list[Step], ...]) -> None:
    world, (before, while_listing, before_looking, while_reading) = Told(), steps
    go_on(world, before)
    listing = world.listing()
    go_on(world, while_listing)
    suspected = suspicions(snapshot(world.index, "pods"), listing)
    go_on(world, before_looking)
    looked = [look(world.index, each) for each in suspected]
    go_on(world, while_reading)
    stored = world.stored()

    verdicts = [confirm(each, seen, stored.get(each.key)) for each, seen in zip(suspected, looked, strict=True)]

    assert Verdict.DRIFT not in verdicts


@st.composite
def lossy(draw: st.DrawFn) -> Told:
    """A quiet cluster after some history, of which the watch has lost a part and told the rest."""
    world = Told()
    for key, verb in draw(st.lists(st.tuples(st.sampled_from(SLOTS), VERBS), min_size=1, max_size=20)):
        world.api.change(key, [(verb, ALICE, cpu(world.api.version + 1))])
    world.tell(len(world.events), lost=draw(st.integers(0, 2 ** len(world.events) - 1)))
    return world


@given(world=lossy())
def test_all_that_a_lossy_watch_left_wrong_is_found_and_nothing_else(world: Told) -> None:
    index, listing = world.index, world.listing()

    confirmed = {
        (each.kind, each.key)
        for each in suspicions(snapshot(index, "pods"), listing)
        if confirm(each, look(index, each), listing.stored.get(each.key)) is Verdict.DRIFT
    }

    has = {key: (known.uid, known.version) for key in SLOTS if (known := index.row(key)) is not None}
    assert confirmed == {
        *((Kind.MISSING, key) for key, state in listing.stored.items() if has.get(key) != state),
        *((Kind.PHANTOM, key) for key, (uid, _) in has.items() if listing.stored.get(key, ("",))[0] != uid),
    }
