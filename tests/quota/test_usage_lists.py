"""The usage index after a full list, and after a change of the binding."""

from __future__ import annotations

import pytest

from tests.fakes import by_payer
from tests.quota.bookings import ALICE, BOB, KEY, OTHER, bind, held, row, sums
from webhook.quota.devices import SHIPPED
from webhook.quota.objects import ObjectKey
from webhook.quota.subject import CLUSTER, Account, Payer, Subject, tenant, user
from webhook.quota.usage import Row, StaleListError, UsageIndex


@pytest.fixture
def index() -> UsageIndex:
    return UsageIndex(by_payer(bind))


def test_a_list_removes_missing_objects_and_settles_their_reservations(index: UsageIndex) -> None:
    index.observe(KEY, row(5, 2))
    index.observe(OTHER, row(6, 4, uid="u2"))
    index.reserve(held(3, base=5))
    index.list_started("pods")
    index.observe(OTHER, row(6, 4, uid="u2"))
    assert sums(index) == (6, 1)
    assert index.list_finished("pods", 9) == (held(3, base=5),)
    assert (sums(index), index.position("pods")) == ((4, 0), 9)


def test_a_list_of_one_resource_leaves_the_others(index: UsageIndex) -> None:
    index.observe(ObjectKey("jobs.batch", "red", "web"), row(5, 2))
    index.list_started("pods")
    index.list_finished("pods", 9)
    assert sums(index) == (2, 0)


def test_a_list_restores_an_object_below_the_position(index: UsageIndex) -> None:
    """A list repairs: an object that was missed has a version far below the position."""
    index.reached("pods", 9)
    index.list_started("pods")
    index.observe(KEY, row(5, 2))
    index.list_finished("pods", 9)
    assert sums(index) == (2, 0)


def test_a_list_older_than_the_position_removes_nothing(index: UsageIndex) -> None:
    index.observe(KEY, row(9, 2))
    index.reached("pods", 9)
    index.list_started("pods")
    with pytest.raises(StaleListError, match=r"^the list of pods is of version 8, 9 was seen$"):
        index.list_finished("pods", 8)
    assert (sums(index), index.position("pods")) == ((2, 0), 9)


def test_a_restarted_session_stays_though_an_old_list_shows_it_stopped(index: UsageIndex) -> None:
    index.observe(KEY, row(5, 2))
    index.reserve(held(3, base=5))
    index.list_started("pods")
    assert index.forget(KEY, "u1", 4) == ()
    assert sums(index) == (2, 1)


def test_an_object_shown_only_by_a_stale_list_is_removed_by_the_next_one(index: UsageIndex) -> None:
    index.reached("pods", 9)
    index.list_started("pods")
    index.observe(KEY, row(5, 2))
    with pytest.raises(StaleListError):
        index.list_finished("pods", 8)
    assert sums(index) == (2, 0), "too much is counted rather than too little"
    index.list_started("pods")
    index.list_finished("pods", 9)
    assert sums(index) == (0, 0)


def test_a_second_start_forgets_what_the_first_list_has_shown(index: UsageIndex) -> None:
    index.list_started("pods")
    index.observe(KEY, row(5, 2))
    index.list_started("pods")
    index.list_finished("pods", 9)
    assert sums(index) == (0, 0)


def test_a_list_leaves_what_is_newer_than_itself(index: UsageIndex) -> None:
    index.observe(KEY, row(12, 2))
    index.list_started("pods")
    index.list_finished("pods", 9)
    assert sums(index) == (2, 0)


# Bindings.


def test_another_binding_moves_what_is_used_and_reserved(index: UsageIndex) -> None:
    index.observe(KEY, row(5, 2))
    index.reserve(held(3, base=5))
    index.reserve(held(1, uid="u2", key=OTHER))
    index.rebind(lambda *_: (Subject("tenant/new"),), SHIPPED)
    assert [sums(index, Subject("tenant/new")), sums(index)] == [(2, 2), (0, 0)]
    index.forget(KEY, "u1", 6)
    index.drop(held(1, uid="u2", key=OTHER))
    assert index._used == index._reserved == {}


def test_rebinding_calls_bind_once_for_each_pair_in_use(index: UsageIndex) -> None:
    for number in range(5):
        index.observe(ObjectKey("pods", "red", f"web-{number}"), row(5, uid=f"u{number}"))
    index.reserve(held(payer=BOB, key=ObjectKey("pods", "blue", "web")))
    calls: list[tuple[Payer, str]] = []

    def recording(payer: Payer, name: str) -> tuple[Subject, ...]:
        calls.append((payer, name))
        return bind(payer, name)

    index.rebind(by_payer(recording), SHIPPED)
    assert sorted(calls) == [(ALICE, "red"), (BOB, "blue")]
    assert sums(index) == (5, 1)


def test_pairs_without_objects_are_forgotten(index: UsageIndex) -> None:
    """E.g. a CI system creates a namespace per build and deletes it a minute later, and nobody changes the policy."""
    index.observe(KEY, row(1))
    index.reserve(held(payer=BOB, key=OTHER))
    for number in range(1, 3 * 4096):
        key = ObjectKey("pods", f"ci-{number}", "web")
        index.observe(key, row(2 * number))
        index.forget(key, "u1", 2 * number + 1)
        index.subjects_of(Account(Payer(f"refused-{number}")), "red")
    kept = index._charged._by_namespace
    assert sum(map(len, kept.values())) <= 4096
    assert len(kept) <= 4096
    assert kept["red"].keys() >= {Account(ALICE), Account(BOB)}
    assert sums(index) == (1, 1)


def test_rebinding_forgets_pairs_without_objects(index: UsageIndex) -> None:
    for number in range(4096):
        index.subjects_of(Account(ALICE), f"ci-{number}")
    index.observe(KEY, row(9000))
    index.reserve(held(payer=BOB, key=OTHER))
    index.rebind(by_payer(bind), SHIPPED)
    assert {name: set(payers) for name, payers in index._charged._by_namespace.items()} == {
        "red": {Account(ALICE), Account(BOB)}
    }
    assert sums(index) == (1, 1)


def test_as_many_pairs_as_have_objects_are_kept(index: UsageIndex) -> None:
    bound: list[str] = []

    def recording(payer: Payer, name: str) -> tuple[Subject, ...]:
        bound.append(name)
        return bind(payer, name)

    index.rebind(by_payer(recording), SHIPPED)
    keys = [ObjectKey("pods", f"work-{number}", "web") for number in range(10_000)]
    for number, key in enumerate(keys):
        index.observe(key, row(number + 1, uid=key.namespace))
    assert len(bound) == len(keys)
    for number, key in enumerate(keys):
        index.forget(key, key.namespace, 20_000 + number)
    assert len(bound) == len(keys), "what is in use was forgotten"
    assert sums(index) == (0, 0)


def test_more_payers_than_the_shared_table_holds_are_all_counted() -> None:
    index = UsageIndex(lambda *_: (CLUSTER,))
    for number in range(65_540):
        index.observe(ObjectKey("pods", "red", str(number)), row(number + 1, payer=Payer(f"user-{number}")))
    assert sums(index) == (65_540, 0)
    assert len(index._payers) < 100


def test_amounts_that_nobody_has_any_more_are_forgotten(index: UsageIndex) -> None:
    """Anybody may make pods of ever new sizes, with as many names of resources as fit into an object."""
    invented = tuple((f"requests.example.com/{number:03}", 1) for number in range(100))
    for number in range(1, 3 * 4096):
        costs = (("requests.cpu", number), *(invented if number % 100 == 0 else ()))
        index.observe(KEY, Row("u1", number, ALICE, costs))
    assert len(index._amounts) <= 4097
    assert all(len(each) < 100 for each in index._amounts)
    assert index.used(user("alice"), "requests.cpu") == 3 * 4096 - 1


def test_rebinding_one_namespace_leaves_the_others(index: UsageIndex) -> None:
    tenants = {"red": "research", "blue": "research"}
    bound: list[str] = []

    def by_tenant(payer: Payer, name: str) -> tuple[Subject, ...]:
        bound.append(name)
        return (user(payer.owner), tenant(tenants[name]))

    index.rebind(by_payer(by_tenant), SHIPPED)
    for name in tenants:
        index.observe(ObjectKey("pods", name, "a"), row(5, 2, uid=f"a-{name}"))
        index.reserve(held(3, uid=f"b-{name}", key=ObjectKey("pods", name, "b")))
    bound.clear()

    tenants["red"] = "sales"
    index.rebind_namespace("red")

    assert bound == ["red"]
    assert [sums(index, tenant(each)) for each in ("research", "sales")] == [(2, 3), (2, 3)]
    assert sums(index, user("alice")) == (4, 6)


def test_a_namespace_whose_subjects_did_not_change_is_not_recounted(
    index: UsageIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.observe(KEY, row(5, 2))
    monkeypatch.setattr(UsageIndex, "_rows_in", None)
    index.rebind_namespace("red")
    index.rebind_namespace("nowhere")
    assert sums(index) == (2, 0)
