"""What is told of promises and entries, and when: each notice once, whatever the clock does and whoever looks."""

from __future__ import annotations

import math
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from webhook.quota.commitments import Commitment, Pool, State
from webhook.quota.notices import KEPT, MOST_NAMED, Notice, Timetable, renewed
from webhook.quota.quantity import NANOS
from webhook.quota.subject import Subject

END = datetime(2027, 1, 31, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)


class Entry(NamedTuple):
    """An entry of a policy, as far as its end is told."""

    entry: str
    until: datetime = END
    config_map: str = "limits"


def promise(
    name: str = "c-1",
    gpus: int = 16,
    *,
    holder: str = "tenant/research",
    state: State = State.CONFIRMED,
    begins: datetime | None = None,
    ends: datetime | None = END,
    zone: str = "a",
    config_map: str = "limits",
) -> Commitment:
    amounts = {"gpu": gpus * NANOS}
    place = f"{config_map}/policy.yaml:7"
    return Commitment(name, Subject(holder), Pool("h100", zone), amounts, state, begins, ends, place)


def due(now: datetime, *commitments: Commitment, entries: tuple[Entry, ...] = ()) -> list[Notice]:
    return list(Timetable(commitments, entries).due(now))


def told(now: datetime, *commitments: Commitment) -> list[str]:
    return [each.reason for each in due(now, *commitments)]


RENEW = "`userquota commitments renew c-1 --into NEW --for PERIOD` promises the same again"
MESSAGES = [
    (
        END - 7 * DAY,
        "CommitmentEnding",
        (
            "commitment c-1 of tenant/research ends at 2027-01-31T00:00:00Z, within 7 days: gpu=16 of h100 in a "
            f"(limits/policy.yaml:7). {RENEW}; otherwise what runs is on demand then"
        ),
    ),
    (
        END - DAY,
        "CommitmentEnding",
        (
            "commitment c-1 of tenant/research ends at 2027-01-31T00:00:00Z, within 1 day: gpu=16 of h100 in a "
            f"(limits/policy.yaml:7). {RENEW}; otherwise what runs is on demand then"
        ),
    ),
    (
        END,
        "CommitmentEnded",
        (
            "commitment c-1 of tenant/research ended at 2027-01-31T00:00:00Z: gpu=16 of h100 in a "
            "(limits/policy.yaml:7). What runs stays, and is on demand"
        ),
    ),
    (
        END - 30 * DAY,
        "CommitmentConfirmed",
        (
            "commitment c-1 of tenant/research is in force from 2027-01-01T00:00:00Z on, until 2027-01-31T00:00:00Z: "
            "gpu=16 of h100 in a (limits/policy.yaml:7)"
        ),
    ),
]


@pytest.mark.parametrize(("at", "reason", "message"), MESSAGES)
def test_a_commitment_is_told_from_its_second_on_and_no_longer_than_an_event_would_last(
    at: datetime, reason: str, message: str
) -> None:
    one = promise(state=State.GUARANTEED, begins=END - 30 * DAY)
    for now in (at, at + KEPT - SECOND):
        [notice] = due(now, one)
        assert (notice.config_map, notice.reason, notice.message) == ("limits", reason, message)
        assert notice.is_warning == (reason != "CommitmentConfirmed")
        assert notice.at == at.timestamp()
    assert due(at - SECOND, one) == due(at + KEPT, one) == []


def test_one_without_an_end_is_told_to_be_in_force_and_then_nothing_more() -> None:
    one = promise(begins=END, ends=None)
    [notice] = due(END, one)
    assert notice.message == (
        "commitment c-1 of tenant/research is in force from 2027-01-31T00:00:00Z on: gpu=16 of h100 in a "
        "(limits/policy.yaml:7)"
    )
    assert Timetable([one]).seconds_to_next(END) == math.inf
    assert Timetable([one]).seconds_to_next(END - SECOND / 4) == 0.25


@pytest.mark.parametrize("state", [State.PLANNED, State.PENDING, State.SUPERSEDED, State.EXPIRED])
def test_of_what_promises_nothing_nothing_is_told(state: State) -> None:
    one = promise(state=state, begins=END - 30 * DAY)
    assert [told(now, one) for now in (END - 30 * DAY, END - 7 * DAY, END)] == [[], [], []]


def test_a_promise_for_a_week_is_not_told_to_end_within_a_week_when_it_begins() -> None:
    one = promise(begins=END - 7 * DAY)
    assert told(END - 7 * DAY, one) == ["CommitmentConfirmed"]
    assert told(END - DAY, one) == ["CommitmentEnding"]
    assert told(END - 7 * DAY, promise(begins=END - 7 * DAY - SECOND)) == ["CommitmentConfirmed", "CommitmentEnding"]


def test_what_is_over_is_not_told_to_be_in_force() -> None:
    one = promise(begins=END - timedelta(minutes=10))
    assert told(END - SECOND, one) == ["CommitmentConfirmed"]
    assert told(END, one) == ["CommitmentEnded"]


def test_what_is_within_one_second_is_told_at_its_end() -> None:
    halves = [promise("c-1", ends=END - SECOND / 2), promise("c-2", ends=END - SECOND / 4)]
    assert told(END - SECOND / 8, *halves) == []
    assert told(END, *halves) == ["CommitmentEnded"] * 2


def test_any_time_that_a_policy_can_have_is_one() -> None:
    first = promise("c-1", ends=datetime.fromisoformat("0001-01-01T00:00:00+14:00"))
    last = promise("c-2", ends=datetime.fromisoformat("9999-12-31T23:59:59.999999-14:00"))
    table = Timetable([first, last])
    assert (list(table.due(END)), table.seconds_to_next(END) > 0) == ([], True)


def test_names_are_told_on_one_line() -> None:
    [notice] = due(END, promise("c\n1", holder="user/a\tb"))
    assert notice.message.startswith("commitment c?1 of user/a?b ended")


LATER = promise("c-2", begins=END, ends=None)
FOLLOWED = [
    ("the same again", [promise(), LATER], {"c-1"}),
    (
        "guaranteed from then on",
        [promise(), promise("c-2", begins=END, ends=END + DAY, state=State.GUARANTEED)],
        {"c-1"},
    ),
    ("more of it", [promise(), promise("c-2", 17, begins=END, ends=None)], {"c-1"}),
    ("in parts", [promise(), *(promise(each, 8, begins=END, ends=None) for each in ("c-2", "c-3"))], {"c-1"}),
    ("less of it", [promise(), promise("c-2", 15, begins=END, ends=None)], set()),
    ("after a gap", [promise(), promise("c-2", begins=END + SECOND, ends=None)], set()),
    ("before the end", [promise(), promise("c-2", begins=END - SECOND, ends=None)], set()),
    ("of somebody else", [promise(), promise("c-2", begins=END, ends=None, holder="user/ann")], set()),
    ("of another zone", [promise(), promise("c-2", begins=END, ends=None, zone="b")], set()),
    ("one for two", [promise(), promise("c-0"), LATER], {"c-0"}),
    ("of two the one of its size", [promise("c-0", 8), promise(), LATER], {"c-1"}),
    ("the rest of a larger one", [promise("c-0", 8), promise(), promise("c-2", 20, begins=END, ends=None)], {"c-0"}),
]


@pytest.mark.parametrize(
    ("commitments", "expected"), [each[1:] for each in FOLLOWED], ids=[each[0] for each in FOLLOWED]
)
def test_what_another_one_follows_is_renewed(commitments: list[Commitment], expected: set[str]) -> None:
    assert renewed(commitments) == expected


def test_of_what_is_renewed_no_end_is_told_but_that_the_next_one_begins() -> None:
    both = (promise(), LATER)
    assert [told(END - before, *both) for before in (7 * DAY, DAY)] == [[], []]
    assert [each.message[:14] for each in due(END, *both)] == ["commitment c-2"]
    planned = promise("c-2", begins=END, ends=None, state=State.PLANNED)
    assert told(END - DAY, promise(), planned) == ["CommitmentEnding"]


def test_of_very_many_that_end_at_once_ten_are_told_by_themselves_and_all_others_in_one_line() -> None:
    many = [promise(f"c-{each:05}") for each in range(10_000)]
    other = promise("d", config_map="other")
    found = due(END - DAY, *many, other)
    assert [each.config_map for each in found] == ["limits"] * (MOST_NAMED + 1) + ["other"]
    assert found[MOST_NAMED].message == (
        "9990 more commitments end at 2027-01-31T00:00:00Z, within 1 day: c-00010, c-00011, c-00012, c-00013, c-00014, "
        "c-00015, c-00016, c-00017, c-00018, c-00019 and 9980 more"
    )
    assert [each.message for each in due(END, *many[:11])][10:] == [
        "1 more commitment ended at 2027-01-31T00:00:00Z: c-00010"
    ]
    begun = [promise(f"c-{each:02}", begins=END, ends=None) for each in range(12)]
    assert due(END, *begun)[10].message == "2 more commitments are in force from 2027-01-31T00:00:00Z on: c-10, c-11"
    assert due(END, *begun[:11])[10].message == "1 more commitment is in force from 2027-01-31T00:00:00Z on: c-10"


def test_entries_of_one_time_are_told_in_one_line() -> None:
    entries = (
        Entry("users.alice"),
        Entry("exempt[0]"),
        Entry("users.bob", END + SECOND),
        Entry("cluster", END, "other"),
    )
    assert [
        (each.config_map, each.reason, each.message, each.is_warning) for each in due(END - DAY, entries=entries)
    ] == [
        ("limits", "EntryEnding", "2 entries end at 2027-01-31T00:00:00Z, within 1 day: users.alice, exempt[0]", True),
        ("other", "EntryEnding", "1 entry ends at 2027-01-31T00:00:00Z, within 1 day: cluster", True),
    ]
    many = tuple(Entry(f"users.u{each:02}") for each in range(13))
    [notice] = due(END, entries=many)
    names = ", ".join(f"users.u{each:02}" for each in range(10))
    assert (notice.reason, notice.message) == (
        "EntryEnded",
        f"13 entries ended at 2027-01-31T00:00:00Z: {names} and 3 more",
    )


# Times in minutes around one end, so that notices and looks meet.
MINUTES = st.integers(-12 * 1440, 2 * 1440)
ENDS = st.builds(lambda minutes: END + timedelta(minutes=minutes), st.integers(0, 90))


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[Commitment], list[Entry]]:
    """Commitments and entries of two ConfigMaps whose times are close, some more than ten at one second."""
    commitments = []
    for number in range(draw(st.integers(0, 4))):
        ends = draw(st.none() | ENDS)
        begins = draw(st.none() | st.just(END - 9 * DAY) | st.sampled_from([END, END - DAY]))
        begins = begins if begins is None or ends is None or begins < ends else None
        one = promise(f"c-{number}", begins=begins, ends=ends, config_map=draw(st.sampled_from(["limits", "other"])))
        commitments.append(one)
    ends = draw(ENDS)
    commitments += [promise(f"many-{each:02}", ends=ends) for each in range(draw(st.sampled_from([0, 10, 12])))]
    entries = [Entry(f"users.u{number}", ends) for number, ends in enumerate(draw(st.lists(ENDS, max_size=4)))]
    return commitments, entries


def expected(commitments: list[Commitment], looks: list[datetime]) -> Counter[tuple[str, str]]:
    """Return by name and reason what has to be told by those who look at these times, worked out one by one."""
    found: Counter[tuple[str, str]] = Counter()
    going_on = renewed(commitments)

    def seen(moment: datetime) -> bool:
        return any(moment <= now < moment + KEPT for now in looks)

    for each in commitments:
        if each.begins is not None and any(
            each.begins <= now < min(each.begins + KEPT, each.ends or now + DAY) for now in looks
        ):
            found[each.name, "CommitmentConfirmed"] += 1
        if each.ends is None or each.name in going_on:
            continue
        for before in (7 * DAY, DAY):
            if (each.begins is None or each.begins < each.ends - before) and seen(each.ends - before):
                found[each.name, "CommitmentEnding"] += 1
        found[each.name, "CommitmentEnded"] += seen(each.ends)
    return +found


@given(tables(), st.lists(MINUTES, max_size=40))
@example(([promise()], []), [-1440, 0, -1440])
def test_whatever_the_clock_does_each_is_told_once_if_anybody_looks_in_time(
    table: tuple[list[Commitment], list[Entry]], minutes: list[int]
) -> None:
    """The clock jumps to and fro; what was told is kept in mind."""
    commitments, entries = table
    looks = [END + timedelta(minutes=each) for each in minutes]
    timetable, known, found = Timetable(commitments, entries), set[tuple[str, str]](), Counter[tuple[str, str]]()
    entries_told = Counter[str]()
    for now in looks:
        for notice in timetable.due(now, known):
            key = (notice.config_map, notice.identity)
            assert key not in known
            known.add(key)
            if notice.reason.startswith("Commitment") and "more commitment" not in notice.message:
                found[notice.message.split()[1], notice.reason] += 1
            else:
                listed = notice.message.partition(": ")[2].split(", ")
                if notice.reason.startswith("Commitment"):
                    found.update((each, notice.reason) for each in listed)
                else:
                    entries_told.update(f"{each} {notice.reason}" for each in listed)

    assert found == expected(commitments, looks)
    for each in entries:
        moments = {"EntryEnding": [each.until - 7 * DAY, each.until - DAY], "EntryEnded": [each.until]}
        for reason, times in moments.items():
            seen = [at for at in times if any(at <= now < at + KEPT for now in looks)]
            assert entries_told[f"{each.entry} {reason}"] == len(seen)


@given(tables(), st.lists(st.integers(1, 3000), max_size=40), st.data())
def test_however_often_replicas_start_again_the_api_server_stores_each_once(
    table: tuple[list[Commitment], list[Entry]], steps: list[int], data: st.DataObject
) -> None:
    """Three replicas whose clocks differ by minutes look in any order, forget all now and then; Events last an hour."""
    timetable = Timetable(*table)
    skews = [timedelta(0), timedelta(minutes=4), timedelta(minutes=-5)]
    known: list[set[tuple[str, str]]] = [set(), set(), set()]
    events: dict[tuple[str, str], datetime] = {}
    stored: Counter[tuple[str, str]] = Counter()
    now = END - data.draw(st.sampled_from([7 * DAY, DAY, timedelta(0)])) - HOUR
    for step in steps:
        now += timedelta(seconds=step)
        events = {key: at for key, at in events.items() if now - at < HOUR}
        replica = data.draw(st.integers(0, 2))
        if data.draw(st.booleans()):
            known[replica].clear()
        for notice in timetable.due(now + skews[replica], known[replica]):
            key = (notice.config_map, notice.identity)
            known[replica].add(key)
            if key not in events:
                events[key] = now
                stored[key] += 1
    assert all(number == 1 for number in stored.values())


@given(tables(), MINUTES)
def test_until_the_next_time_nothing_new_is_due(table: tuple[list[Commitment], list[Entry]], minutes: int) -> None:
    timetable, now = Timetable(*table), END + timedelta(minutes=minutes)
    known = {(each.config_map, each.identity) for each in timetable.due(now)}
    seconds = timetable.seconds_to_next(now)
    assert seconds > 0
    if seconds < math.inf:
        assert list(timetable.due(now + timedelta(seconds=seconds) - SECOND, known)) == []
    else:
        assert list(timetable.due(now + 400 * DAY, known)) == []
