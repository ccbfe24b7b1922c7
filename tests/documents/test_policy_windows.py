"""Amounts of an entry that hold at some times of the week, read from text and resolved."""

from __future__ import annotations

import zoneinfo
from datetime import datetime

import pytest

from tests.quota.policies import ALICE, described
from webhook.documents import window_schema
from webhook.documents.policy_text import PolicyText, read_policy
from webhook.quota.limits import resolve_limits
from webhook.quota.policy import Policy
from webhook.quota.subject import Account
from webhook.quota.windows import Window

NIGHT = '{from: "20:00", to: "06:00", zone: Europe/Berlin, hard: {gpu: 8}}'
EVENING = '{from: "20:00", to: "22:00", zone: Europe/Berlin, hard: {gpu: 9, pods: 3}}'
GPU = "{hard: {gpu: 1}}"
ONE = "{perMember: {hard: {gpu: 1}}}"
DAY, DUSK, MIDNIGHT = (datetime.fromisoformat(f"2027-06-16T{each}:00Z") for each in ("12:00", "19:00", "22:00"))


def policy(text: str) -> Policy:
    found = read_policy([PolicyText("p.yaml", f"version: 1\n{text}")])
    assert found.policy is not None, found.mistakes
    return found.policy


def mistakes(text: str) -> list[str]:
    return [str(each) for each in read_policy([PolicyText("p.yaml", f"version: 1\n{text}")]).mistakes]


def window(written: str) -> Window:
    """Return the only window of a policy."""
    (found,) = (each.window for each in policy(f"cluster: {{windows: [{written}]}}").entries() if each.window)
    return found


def at(found: Policy, now: datetime) -> list[str]:
    labels = {"team": "t"}
    return described(resolve_limits(found, Account(ALICE), namespace="red", labels=labels, now=now))


RESOLVED = {
    "outside the own amounts hold": (
        f"users: {{alice: {{hard: {{gpu: 1, cpu: 4}}, windows: [{NIGHT}]}}}}",
        DAY,
        ["user/alice: gpu=1 users.alice", "user/alice: requests.cpu=4 users.alice"],
    ),
    "inside those of the window, by resource": (
        f"users: {{alice: {{hard: {{gpu: 1, cpu: 4}}, windows: [{NIGHT}]}}}}",
        MIDNIGHT,
        ["user/alice: gpu=8 users.alice.windows[0]", "user/alice: requests.cpu=4 users.alice"],
    ),
    "of two that hold the first": (
        f"users: {{alice: {{hard: {{gpu: 1}}, windows: [{NIGHT}, {EVENING}]}}}}",
        DUSK,
        ["user/alice: gpu=8 users.alice.windows[0]"],
    ),
    "in the other order": (
        f"users: {{alice: {{hard: {{gpu: 1}}, windows: [{EVENING}, {NIGHT}]}}}}",
        DUSK,
        ["user/alice: gpu=9 users.alice.windows[0]", "user/alice: pods=3 users.alice.windows[0]"],
    ),
    "until the first has ended": (
        f"users: {{alice: {{hard: {{gpu: 1}}, windows: [{EVENING}, {NIGHT}]}}}}",
        MIDNIGHT,
        ["user/alice: gpu=8 users.alice.windows[1]"],
    ),
    "a window is stronger than the default": (
        f"defaults: {{user: {{hard: {{gpu: 0}}}}}}\nusers: {{alice: {{windows: [{NIGHT}]}}}}",
        MIDNIGHT,
        ["user/alice: gpu=8 users.alice.windows[0]"],
    ),
    "and than the tier": (
        f"tiers: {{pro: {{hard: {{gpu: 2, cpu: 4}}}}}}\nusers: {{alice: {{tier: pro, windows: [{NIGHT}]}}}}",
        MIDNIGHT,
        ["user/alice: gpu=8 users.alice.windows[0]", "user/alice: requests.cpu=4 users.alice (tiers.pro)"],
    ),
    "unlimited": (
        f"users: {{alice: {{hard: {{gpu: 1}}, windows: [{NIGHT.replace('8', 'unlimited')}]}}}}",
        MIDNIGHT,
        [],
    ),
    "a pool": (
        f"groups: {{ml: {{pool: {{hard: {{gpu: 1}}, windows: [{NIGHT}]}}}}}}",
        MIDNIGHT,
        ["group/ml: gpu=8 groups.ml.pool.windows[0]"],
    ),
    "members, whose groups are added": (
        f"combine: sum\ngroups: {{staff: {ONE}, ml: {{perMember: {{hard: {{gpu: 1}}, windows: [{NIGHT}]}}}}}}",
        MIDNIGHT,
        ["user/alice: gpu=9 groups.ml.perMember.windows[0]+groups.staff.perMember"],
    ),
    "a tenant, whose namespaces have none": (
        f"tenants: {{t: {{namespaces: {{matchLabels: {{team: t}}}}, windows: [{NIGHT}], perNamespace: {GPU}}}}}",
        MIDNIGHT,
        ["tenant/t: gpu=8 tenants.t.windows[0]", "namespace/red: gpu=1 tenants.t.perNamespace"],
    ),
    "not after the end of the entry": (
        f"users: {{alice: {{until: 2027-06-16T22:00:00Z, windows: [{NIGHT}]}}}}",
        MIDNIGHT,
        [],
    ),
}


@pytest.mark.parametrize(("text", "now", "expected"), RESOLVED.values(), ids=RESOLVED)
def test_which_amounts_hold(text: str, now: datetime, expected: list[str]) -> None:
    assert at(policy(text), now) == expected


def test_what_was_resolved_before_does_not_hold_after_an_edge() -> None:
    found = policy(f"users: {{alice: {{hard: {{gpu: 1}}, windows: [{NIGHT}]}}}}")
    edges = [
        "2027-06-16T17:59:59.999999Z",
        "2027-06-16T18:00:00Z",
        "2027-06-17T03:59:59.999999Z",
        "2027-06-17T04:00:00Z",
    ]
    amounts = [at(found, datetime.fromisoformat(each))[0].split()[1] for each in edges * 2]
    assert amounts == ["gpu=1", "gpu=8", "gpu=8", "gpu=1"] * 2


def test_a_policy_without_windows_looks_at_no_clock_twice() -> None:
    found = policy("users: {alice: {hard: {gpu: 1}, until: 2027-06-16T22:00:00Z}}")
    assert [found.phase(each) for each in (DAY, DUSK, MIDNIGHT)] == [0, 0, 1]
    assert policy("cluster: {hard: {gpu: 1}}").phase(DAY) == 0


def test_a_window_says_all_else_that_its_entry_says() -> None:
    found = policy(
        f"users:\n  alice:\n    mode: warn\n    message: ask us\n    workloads: deny\n    windows:\n    - {NIGHT}"
    )
    (limit,) = resolve_limits(found, Account(ALICE), namespace="red", labels={}, now=MIDNIGHT).sums
    assert (limit.place, limit.mode.value, limit.hint, limit.workloads.value) == ("p.yaml:8", "warn", "ask us", "deny")
    assert found.changes_with_time
    assert not found.enforces
    assert policy(f"users: {{alice: {{windows: [{NIGHT}]}}}}").enforces


DAYS = {
    "[mon]": {0},
    "[mon-fri]": {0, 1, 2, 3, 4},
    "[sat, sun]": {5, 6},
    "[fri-mon, wed]": {4, 5, 6, 0, 2},
    "[sun-sun]": {6},
}


@pytest.mark.parametrize(("written", "days"), DAYS.items(), ids=DAYS)
def test_days(written: str, days: set[int]) -> None:
    assert window(NIGHT.replace("{from", f"{{days: {written}, from")).days == days


def test_without_days_it_is_every_day_and_a_time_needs_no_quotes() -> None:
    assert str(window(NIGHT.replace('"', ""))) == "mon,tue,wed,thu,fri,sat,sun 20:00-06:00 Europe/Berlin"


MISTAKES = {
    "an unknown zone": (("Berlin", "Berln"), "zone: there is no time zone Europe/Berln, did you mean Europe/Berlin?"),
    "one that is like none": (
        ("Europe/Berlin", "XYZZY"),
        "zone: there is no time zone XYZZY; the names are those of IANA, as in Europe/Berlin",
    ),
    "a path": (
        ("Europe/Berlin", "../../xyz"),
        "zone: there is no time zone ../../xyz; the names are those of IANA, as in Europe/Berlin",
    ),
    "a folder of zones": (
        ("Europe/Berlin", "America/Indiana"),
        "zone: there is no time zone America/Indiana, did you mean ",
    ),
    "no text": (("Europe/Berlin", "1"), "zone: expected a time zone, as in Europe/Berlin"),
    "no zone": ((", zone: Europe/Berlin", ""), "zone: this field is required"),
    "an hour without its 0": (
        ("06:00", "6:00"),
        'to: expected a time of day in quotes, as in "06:00"; midnight is "00:00"',
    ),
    "24:00": (("06:00", "24:00"), 'to: expected a time of day in quotes, as in "06:00"; midnight is "00:00"'),
    "a time with seconds": (("06:00", "06:00:00"), "to: expected a time of day"),
    "a number": (('"06:00"', "6"), "to: expected a time of day"),
    "an unknown day": (
        ("{from", "{days: [monday], from"),
        "days[0]: expected a day or days, as in sat or mon-fri; they are mon",
    ),
    "no day": (("{from", "{days: [], from"), "days: expected at least one"),
    "an unknown resource": (("gpu", "gpuu"), "hard.gpuu: unknown resource"),
    "another field": (("{from", "{begin: 1, from"), "begin: unknown field; known are days, from, to, zone, hard"),
}


@pytest.mark.parametrize(("change", "told"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_told_with_its_field(change: tuple[str, str], told: str) -> None:
    (mistake,) = mistakes(f"cluster: {{windows: [{NIGHT.replace(*change)}]}}")
    assert mistake.partition(": ")[2].startswith(f"cluster.windows[0].{told}")


def test_a_machine_without_data_of_zones_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_zone(name: str) -> zoneinfo.ZoneInfo:
        raise zoneinfo.ZoneInfoNotFoundError(name)

    monkeypatch.setattr(zoneinfo, "ZoneInfo", no_zone)
    monkeypatch.setattr(zoneinfo, "available_timezones", set)
    window_schema._zone.cache_clear()
    (mistake,) = mistakes(f"cluster: {{windows: [{NIGHT}]}}")
    window_schema._zone.cache_clear()
    assert mistake.endswith("zone: this machine has no data of time zones: install tzdata, of the system or of Python")


def test_a_tier_and_a_part_of_the_objects_have_no_windows() -> None:
    assert "unknown field" in mistakes(f"tiers: {{a: {{windows: [{NIGHT}]}}}}")[0]
    scoped = f"{{scopes: [BestEffort], windows: [{NIGHT}]}}"
    assert "unknown field" in mistakes(f"cluster: {{scoped: [{scoped}]}}")[0]
