"""Which charges are allowed, which are denied, and which amounts are not compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import pytest

from tests.fakes import by_payer
from tests.quota.bookings import ALICE, BOB, KEY, OTHER, bind, cpu, held, row, sums
from webhook.quota.decision import Allowed, Decision, Denied, Excess, decide
from webhook.quota.limits import ONE_OBJECT, Limit, LimitsInForce
from webhook.quota.objects import ObjectKey
from webhook.quota.policy import Mode
from webhook.quota.reservation import Charge, Prior, Reservation
from webhook.quota.resources import Amount, Amounts
from webhook.quota.subject import CLUSTER, Payer, Subject, group, user
from webhook.quota.usage import Row, UsageIndex

CPU = "requests.cpu"
HERS = user("alice")


def at_most(hard: Amount, subject: Subject = HERS, *, of: str = CPU, mode: Mode = Mode.ENFORCE) -> Limit:
    return Limit(subject, of, hard, f"{subject}'s entry", mode=mode)


def each_pod(hard: Amount, *, of: str = CPU, mode: Mode = Mode.ENFORCE) -> Limit:
    return Limit(ONE_OBJECT, of, hard, "a pod's entry", mode=mode, cap="perPod")


def create(costs: Amounts, *, uid: str = "new", payer: Payer = ALICE, key: ObjectKey = KEY) -> Charge:
    return Charge(key, uid, 0, payer, costs, cap="perPod")


def update(
    before: Amounts, costs: Amounts, *, payer: Payer = ALICE, old_payer: Payer = ALICE, base: int = 5, uid: str = "u1"
) -> Charge:
    return Charge(KEY, uid, base, payer, costs, Prior(old_payer, frozenset(bind(old_payer, "red")), before), "perPod")


@dataclass(frozen=True)
class Case:
    """A request under limits, with objects and reservations; `over` are the subjects of the exceeded limits."""

    charge: Charge
    rules: Sequence[Limit]
    exists: Sequence[tuple[ObjectKey, Row]] = ()
    in_flight: Sequence[Reservation] = ()
    over: Sequence[str] = ()

    def index(self) -> UsageIndex:
        index = UsageIndex(by_payer(bind))
        for key, each in self.exists:
            index.observe(key, each)
        for reservation in self.in_flight:
            index.reserve(reservation)
        return index

    def in_force(self) -> LimitsInForce:
        return LimitsInForce(
            tuple(rule for rule in self.rules if rule.cap is None),
            tuple(rule for rule in self.rules if rule.cap is not None),
        )

    def decide(self) -> Decision:
        return decide(self.charge, self.in_force(), self.index())


def elsewhere(amount: Amount, *, payer: Payer = ALICE) -> tuple[ObjectKey, Row]:
    """Another object that exists."""
    return OTHER, row(3, amount, uid="other", payer=payer)


def here(amount: Amount, *, payer: Payer = ALICE, uid: str = "u1") -> tuple[ObjectKey, Row]:
    """The object that has the name now."""
    return KEY, row(5, amount, uid=uid, payer=payer)


CASES = {
    "without a limit everything fits": Case(create(cpu(99)), []),
    "equality fits": Case(create(cpu(2)), [at_most(3)], [elsewhere(1)]),
    "a billionth more does not": Case(create(cpu(2)), [at_most(2)], [elsewhere(1)], over=["user/alice"]),
    "seven sevenths are one": Case(create(cpu(Fraction(1, 7))), [at_most(1)], [elsewhere(Fraction(6, 7))]),
    "eight are more": Case(create(cpu(Fraction(2, 7))), [at_most(1)], [elsewhere(Fraction(6, 7))], over=["user/alice"]),
    "what is in flight counts like what exists": Case(
        create(cpu(1)), [at_most(3)], [elsewhere(2)], [held(1, key=ObjectKey("pods", "red", "third"))], ["user/alice"]
    ),
    "an exceeded limit on another resource does not count": Case(create(cpu(1)), [at_most(0, of="gpu")]),
    "0 forbids a requested resource": Case(create((("gpu", 1),)), [at_most(0, of="gpu")], over=["user/alice"]),
    "0 does not deny a request without the resource": Case(create(cpu(1)), [at_most(0, of="gpu"), at_most(1)]),
    "objects of other users are charged to them": Case(create(cpu(1)), [at_most(1)], [elsewhere(9, payer=BOB)]),
    "the pool is full though the user is not": Case(
        create(cpu(1)),
        [at_most(9), at_most(3, group("ml"))],
        [elsewhere(3, payer=Payer("bob", ("ml",)))],
        over=["group/ml"],
    ),
    "every limit that fails is named, in the order of the policy": Case(
        create((("gpu", 1), (CPU, 5))),
        [each_pod(4), at_most(0, of="gpu"), at_most(2), at_most(9, group("ml")), at_most(3, CLUSTER)],
        over=["a pod", "user/alice", "user/alice", "cluster"],
    ),
    "a cap on one pod does not count other pods": Case(create(cpu(2)), [each_pod(2)], [elsewhere(2)]),
    "a pod above its cap is refused though nothing is used": Case(create(cpu(3)), [each_pod(2)], over=["a pod"]),
    "a cap does not bind a resource that is not requested": Case(create(cpu(3)), [each_pod(0, of="gpu")]),
    # Updates.
    "an update is charged what it adds": Case(update(cpu(2), cpu(3)), [at_most(4)], [here(2), elsewhere(1)]),
    "an update that adds too much": Case(
        update(cpu(2), cpu(4)), [at_most(4)], [here(2), elsewhere(1)], over=["user/alice"]
    ),
    "shrinking passes while over the limit": Case(update(cpu(5), cpu(4)), [at_most(1)], [here(5), elsewhere(9)]),
    "an unrelated change passes while over the limit": Case(update(cpu(5), cpu(5)), [at_most(1)], [here(5)]),
    "what shrinks is not compared when something else grows": Case(
        update((("gpu", 1), (CPU, 5)), (("gpu", 2), (CPU, 4))), [at_most(1), at_most(2, of="gpu")], [here(5)]
    ),
    "what grows is compared though something else shrinks": Case(
        update((("gpu", 1), (CPU, 5)), (("gpu", 2), (CPU, 4))),
        [at_most(1), at_most(1, of="gpu")],
        [here(5)],
        over=["user/alice"],
    ),
    "a resource the object did not have before grows from nothing": Case(
        update(cpu(1), (("gpu", 1), (CPU, 1))), [at_most(0, of="gpu")], [here(1)], over=["user/alice"]
    ),
    "a pod above its cap may stay so": Case(update((("gpu", 1), (CPU, 5)), (("gpu", 2), (CPU, 5))), [each_pod(2)]),
    "a pod above its cap may not grow": Case(update(cpu(5), cpu(6)), [each_pod(2)], [here(5)], over=["a pod"]),
    "an object the index has not seen is charged in full": Case(
        update(cpu(2), cpu(3)), [at_most(4)], [elsewhere(2)], over=["user/alice"]
    ),
    # Writes that count once.
    "a repeated call is not charged twice": Case(create(cpu(3)), [at_most(3)], in_flight=[held(3, uid="new")]),
    "a repeated call after the object was seen is not charged twice": Case(
        create(cpu(3)), [at_most(3)], [here(3, uid="new")]
    ),
    "a repeated update is not charged twice": Case(update(cpu(1), cpu(3)), [at_most(3)], [here(1)], [held(3, base=5)]),
    "a second create of the same name counts once with the first": Case(
        create(cpu(3), uid="second"), [at_most(3)], in_flight=[held(2, uid="first")]
    ),
    "a second create of the same name may not be larger than what is left": Case(
        create(cpu(4), uid="second"), [at_most(3)], in_flight=[held(2, uid="first")], over=["user/alice"]
    ),
    "a create under the name of a deleted object reuses its amounts": Case(create(cpu(3)), [at_most(3)], [here(2)]),
    "another uid may not take a name that holds more than a lowered limit": Case(
        create(cpu(1)), [at_most(2)], [here(3)], over=["user/alice"]
    ),
    "another uid may not take a name that has more in flight than a lowered limit": Case(
        create(cpu(1)), [at_most(2)], in_flight=[held(3, uid="first")], over=["user/alice"]
    ),
    "keys differ by namespace and resource": Case(
        create(cpu(2)),
        [at_most(3)],
        [(ObjectKey("pods", "blue", KEY.name), row(3)), (ObjectKey("jobs.batch", *KEY[1:]), row(3))],
        over=["user/alice"],
    ),
    # Adoption.
    "an adoption that fits the new payer": Case(
        update(cpu(2), cpu(2), payer=BOB), [at_most(2, user("bob"))], [here(2)]
    ),
    "an adoption that does not fit the new payer": Case(
        update(cpu(2), cpu(2), payer=BOB),
        [at_most(2, user("bob"))],
        [here(2), elsewhere(1, payer=BOB)],
        over=["user/bob"],
    ),
    "an adoption adds nothing to a subject of both payers, even over the limit": Case(
        update(cpu(2), cpu(2), payer=BOB), [at_most(1, CLUSTER)], [here(2)]
    ),
    "an adoption that also grows adds to a subject of both payers": Case(
        update(cpu(2), cpu(3), payer=BOB), [at_most(9, user("bob")), at_most(2, CLUSTER)], [here(2)], over=["cluster"]
    ),
}


def names(excesses: Sequence[Excess]) -> list[str]:
    return [each.rule.subject if each.rule.cap is None else "a pod" for each in excesses]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_which_limits_deny(case: Case) -> None:
    verdict = case.decide()
    assert names(verdict.excesses if isinstance(verdict, Denied) else ()) == list(case.over)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_limits_that_only_warn_tolerate_the_same_excesses(case: Case) -> None:
    rules = [_tolerant(rule) for rule in case.rules]
    verdict = Case(case.charge, rules, case.exists, case.in_flight).decide()
    assert isinstance(verdict, Allowed)
    assert names(verdict.tolerated) == list(case.over)
    assert verdict.reservation == (case.charge.reservation() if case.charge.grows else None)


def _tolerant(rule: Limit) -> Limit:
    if rule.cap is None:
        return at_most(rule.hard, rule.subject, of=rule.resource, mode=Mode.WARN)
    return each_pod(rule.hard, of=rule.resource, mode=Mode.AUDIT)


def test_a_denial_names_only_what_is_enforced() -> None:
    tolerated = at_most(1, CLUSTER, mode=Mode.WARN), each_pod(1, mode=Mode.AUDIT)
    verdict = Case(create(cpu(2)), [at_most(1), *tolerated]).decide()
    assert isinstance(verdict, Denied)
    assert [excess.rule for excess in verdict.excesses] == [at_most(1)]


def test_an_allowed_charge_is_reserved_in_full() -> None:
    assert Case(update(cpu(2), cpu(3)), [], [here(2)]).decide() == Allowed(held(3, base=5))
    assert Case(update(cpu(3), cpu(3), payer=BOB), [], [here(2)]).decide() == Allowed(held(3, base=5, payer=BOB))


@pytest.mark.parametrize("costs", [cpu(2), cpu(1), ()], ids=["as before", "shrunk", "down to nothing"])
def test_a_charge_that_does_not_grow_is_not_reserved(costs: Amounts) -> None:
    assert Case(update(cpu(2), costs), [at_most(0)], [here(2)]).decide() == Allowed(None)


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        pytest.param(
            Case(create(cpu(4)), [at_most(6)], [elsewhere(2)], [held(1, key=ObjectKey("pods", "red", "third"))]),
            Excess(at_most(6), requested=4, used=2, reserved=1, fits=3),
            id="what is left",
        ),
        pytest.param(
            Case(create(cpu(4)), [at_most(1)], [elsewhere(2)]),
            Excess(at_most(1), requested=4, used=2, reserved=0, fits=0),
            id="nothing where the limit is exceeded already",
        ),
        pytest.param(
            Case(update(cpu(2), cpu(9)), [at_most(6)], [here(2), elsewhere(1)]),
            Excess(at_most(6), requested=7, used=3, reserved=0, fits=5, had=2),
            id="the whole object, not what it may add",
        ),
        pytest.param(
            Case(update(cpu(3), cpu(4)), [at_most(2)], [here(3)]),
            Excess(at_most(2), requested=1, used=3, reserved=0, fits=3, had=3),
            id="what it has, where the limit was lowered: staying is no growth",
        ),
        pytest.param(
            Case(create(cpu(1)), [at_most(2)], [here(3)]),
            Excess(at_most(2), requested=1, used=3, reserved=0, fits=0),
            id="nothing under a name that holds more than the limit",
        ),
        pytest.param(
            Case(create(cpu(5), uid="second"), [at_most(3)], in_flight=[held(2, uid="first")]),
            Excess(at_most(3), requested=5, used=0, reserved=2, fits=3),
            id="also what a rival for the name holds",
        ),
        pytest.param(
            Case(update(cpu(3), cpu(4), base=4), [at_most(4)], [here(1), elsewhere(1)]),
            Excess(at_most(4), requested=3, used=2, reserved=0, fits=3, had=1),
            id="what an update on an old version would really add: the object has shrunk since",
        ),
        pytest.param(Case(create(cpu(5)), [each_pod(3)]), Excess(each_pod(3), 5, 0, 0, fits=3), id="a pod's cap"),
        pytest.param(
            Case(update(cpu(5), cpu(6)), [each_pod(3)]),
            Excess(each_pod(3), 6, 0, 0, fits=5),
            id="a cap that was lowered",
        ),
    ],
)
def test_a_denial_names_what_would_fit(case: Case, expected: Excess) -> None:
    assert case.decide() == Denied((expected,))


@pytest.mark.parametrize(("used", "reserved", "free"), [(1, 2, 3), (3, 3, 0), (6, 2, 0), (0, 0, 6)])
def test_what_is_free_is_never_below_zero(used: int, reserved: int, free: int) -> None:
    assert Excess(at_most(6), 9, used, reserved, fits=0).free == free


@pytest.mark.parametrize(
    ("case", "never"),
    [
        pytest.param(Case(create(cpu(6)), [at_most(6)], [elsewhere(1)]), False, id="as large as the limit"),
        pytest.param(Case(create(cpu(7)), [at_most(6)], [elsewhere(1)]), True, id="larger than the limit"),
        pytest.param(Case(update(cpu(2), cpu(6)), [at_most(6)], [here(2), elsewhere(1)]), False, id="grown to it"),
        pytest.param(Case(update(cpu(2), cpu(7)), [at_most(6)], [here(2)]), True, id="grown beyond it by less"),
        pytest.param(Case(create(cpu(5)), [each_pod(3)]), True, id="above a pod's cap"),
        pytest.param(Case(create(cpu(1)), [at_most(0)]), True, id="what is forbidden"),
    ],
)
def test_what_alone_is_larger_than_a_limit_never_fits(case: Case, *, never: bool) -> None:
    verdict = case.decide()
    assert isinstance(verdict, Denied)
    assert [each.never_fits for each in verdict.excesses] == [never]


def test_a_decision_does_not_change_the_index() -> None:
    case = CASES["a second create of the same name counts once with the first"]
    index = case.index()
    decide(case.charge, case.in_force(), index)
    assert (sums(index), list(index.reservations())) == ((0, 2), [held(2, uid="first")])
