"""How many copies fit: tables over a real usage index, and laws that hold for random ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes import by_payer
from tests.quota.bookings import ALICE, BOB, bind, cpu, row
from webhook.quota.decision import Allowed, decide
from webhook.quota.fitting import UNUSED, Copies, Part, fit
from webhook.quota.limits import ONE_OBJECT, Limit, LimitsInForce
from webhook.quota.objects import ObjectKey
from webhook.quota.reservation import Charge, Reservation
from webhook.quota.resources import Amounts
from webhook.quota.subject import CLUSTER, Payer, Subject, user
from webhook.quota.usage import Row, UsageIndex

CPU = "requests.cpu"
HERS, HIS = user("alice"), user("bob")


def limit(hard: int, subject: Subject = HERS, resource: str = CPU) -> Limit:
    return Limit(subject, resource, hard, f"{subject} {resource}")


def part(amounts: Amounts, *sums: Limit, caps: Sequence[Limit] = ()) -> Part:
    return Part(amounts, "perPod", LimitsInForce(sums, tuple(caps)))


def key(name: str) -> ObjectKey:
    return ObjectKey("pods", "red", name)


def keys(*names: str) -> tuple[ObjectKey, ...]:
    return tuple(map(key, names))


def index_of(pods: dict[str, tuple[Payer, int]], *in_flight: Reservation) -> UsageIndex:
    index = UsageIndex(by_payer(bind))
    for name, (payer, amount) in pods.items():
        index.observe(key(name), Row(f"uid-of-{name}", 5, payer, cpu(amount)))
    for each in in_flight:
        index.reserve(each)
    return index


@dataclass(frozen=True)
class Case:
    """Copies beside pods of a payer and an amount of cpu each; `fits` copies fit, and `needed` more is asked for."""

    copies: Copies
    fits: int
    needed: Sequence[int] = ()
    pods: tuple[tuple[str, Payer, int], ...] = ()
    in_flight: tuple[Reservation, ...] = ()


def alices(*names: str, amount: int = 1) -> tuple[tuple[str, Payer, int], ...]:
    return tuple((name, ALICE, amount) for name in names)


CASES = {
    "all fit": Case(Copies(3, [part(cpu(1), limit(3))]), 3),
    "some fit": Case(Copies(20, [part(cpu(1), limit(3))]), 3, [20]),
    "none fits": Case(Copies(2, [part(cpu(4), limit(3))]), 0, [8]),
    "a part of one fits": Case(Copies(3, [part(cpu(2), limit(5))]), 2, [6]),
    "beside others of the owner": Case(Copies(3, [part(cpu(1), limit(3))]), 1, [3], alices("a", "b")),
    "those that exist count once": Case(Copies(5, [part(cpu(1), limit(4))], keys("a", "b")), 4, [3], alices("a", "b")),
    "those that exist hold what is reserved for them": Case(
        Copies(3, [part(cpu(1), limit(2))], keys("a", "web")),
        2,
        [1],
        alices("a"),
        (Reservation(key("web"), "u", 0, ALICE, cpu(1)),),
    ),
    "as many as exist, although the limit was lowered": Case(
        Copies(3, [part(cpu(1), limit(1))], keys("a", "b", "c")), 3, [], alices("a", "b", "c")
    ),
    "larger than those that exist": Case(
        Copies(2, [part(cpu(3), limit(5))], keys("a", "b"), are_replaced=True), 1, [4], alices("a", "b")
    ),
    "what another pays for stays with them": Case(
        Copies(3, [part(cpu(1), limit(1))], keys("a", "b")), 3, [], (("a", BOB, 1), ("b", BOB, 1))
    ),
    "what another pays for stays, and more does not fit": Case(
        Copies(4, [part(cpu(1), limit(1))], keys("a", "b")), 3, [2], (("a", BOB, 1), ("b", BOB, 1))
    ),
    "what another pays for is replaced": Case(
        Copies(3, [part(cpu(1), limit(1))], keys("a", "b"), are_replaced=True), 1, [3], (("a", BOB, 1), ("b", BOB, 1))
    ),
    "two limits, of which the second binds": Case(Copies(9, [part(cpu(1), limit(5), limit(2, CLUSTER))]), 2, [9, 9]),
    "two objects of a copy count together": Case(Copies(3, [part(cpu(1), limit(4)), part(cpu(1), limit(4))]), 2, [6]),
    "two objects of a copy that others pay for": Case(
        Copies(1, [part(cpu(1), limit(1)), part(cpu(1), limit(1))], keys("a", "b")),
        1,
        [],
        (("a", BOB, 1), ("b", BOB, 1)),
    ),
    "two objects each, of which others pay for one copy": Case(
        Copies(2, [part(cpu(1), limit(1)), part(cpu(1), limit(1))], keys("a", "b")),
        1,
        [2],
        (("a", BOB, 1), ("b", BOB, 1)),
    ),
    "a limit on what it does not cost": Case(Copies(9, [part(cpu(1), limit(0, resource="requests.memory"))]), 9),
    "a limit of 0": Case(Copies(2, [part(cpu(1), limit(0))]), 0, [2]),
    "over a limit already": Case(Copies(2, [part(cpu(1), limit(1))]), 0, [2], alices("x", "y", "z")),
    "larger than a cap": Case(
        Copies(2, [part(cpu(3), limit(99), caps=[Limit(ONE_OBJECT, CPU, 2, "cap", cap="perPod")])]), 0, [3]
    ),
    "a cap on another kind": Case(
        Copies(2, [part(cpu(3), limit(99), caps=[Limit(ONE_OBJECT, CPU, 2, "cap", cap="perClaim")])]), 2
    ),
    "as many as a number can say": Case(
        Copies(2**31 - 1, [part(cpu(10**12), limit(10**15))]), 1000, [(2**31 - 1) * 10**12]
    ),
    "no copy": Case(Copies(0, [part(cpu(1), limit(0))]), 0),
    "no limit": Case(Copies(7, [part(cpu(1))]), 7),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_how_many_copies_fit(case: Case) -> None:
    pods = {name: (payer, amount) for name, payer, amount in case.pods}

    fitting = fit(case.copies, index_of(pods, *case.in_flight))

    assert (fitting.number, fitting.fits) == (case.copies.number, case.fits)
    assert [each.requested for each in fitting.excesses] == list(case.needed)
    assert (fitting.binding is None) is (not case.needed)


def test_the_limit_that_binds_is_named() -> None:
    fitting = fit(Copies(9, [part(cpu(1), limit(5), limit(2, CLUSTER), limit(3, HIS))]), UNUSED)

    assert fitting.binding is not None
    assert fitting.binding.rule.subject == CLUSTER
    assert (fitting.binding.used, fitting.binding.reserved, fitting.binding.free) == (0, 0, 2)


def test_an_object_of_nobody_known_changes_nothing() -> None:
    fitting = fit(Copies(3, [part(cpu(1), limit(2))], keys("gone")), index_of({}))
    assert fitting.fits == 2


@given(
    st.integers(0, 12),
    st.integers(1, 4),
    st.integers(0, 20),
    st.lists(st.tuples(st.sampled_from([ALICE, BOB]), st.integers(0, 3)), max_size=4),
    st.integers(0, 4),
)
def test_as_many_fit_as_the_decision_then_allows_one_by_one(
    number: int, each: int, hard: int, others: list[tuple[Payer, int]], own: int
) -> None:
    """New copies are decided on one after the other, as a controller makes them."""
    pods = {f"other-{count}": pod for count, pod in enumerate(others)}
    own_names = [f"own-{count}" for count in range(min(own, number))]
    pods |= dict.fromkeys(own_names, (ALICE, each))
    index = index_of(pods)
    limits = LimitsInForce((limit(hard), limit(hard + 3, CLUSTER)))

    fitting = fit(Copies(number, [Part(cpu(each), "perPod", limits)], keys(*own_names)), index)

    made = len(own_names)
    while made < number:
        name = key(f"own-{made}")
        charge = Charge(name, f"uid-of-{name.name}", 0, ALICE, cpu(each), cap="perPod")
        if not isinstance(decide(charge, limits, index), Allowed):
            break
        index.observe(name, row(6, each, uid=f"uid-of-{name.name}"))
        made += 1
    assert max(fitting.fits, len(own_names)) == made
