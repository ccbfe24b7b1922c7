"""Laws of every decision, for any objects and reservations. A count from scratch gives the expected result."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec import structs

from tests.fakes import by_payer
from tests.quota.bookings import ALICE, BOB, bind
from webhook.quota.decision import Allowed, Denied, decide
from webhook.quota.limits import ONE_OBJECT, Limit, LimitsInForce
from webhook.quota.objects import ObjectKey
from webhook.quota.policy import Mode
from webhook.quota.reservation import Charge, Prior, Reservation
from webhook.quota.resources import Amount, Amounts
from webhook.quota.subject import CLUSTER, group, user
from webhook.quota.usage import Row, UsageIndex

keys = st.sampled_from([ObjectKey("pods", "red", "a"), ObjectKey("pods", "red", "b"), ObjectKey("pods", "blue", "a")])
payers = st.sampled_from([ALICE, BOB])
names = st.sampled_from(["gpu", "pods"])
uids = st.sampled_from(["u1", "u2"])
amounts = st.dictionaries(names, st.integers(1, 6)).map(lambda costs: tuple(sorted(costs.items())))
modes = st.sampled_from([Mode.ENFORCE, Mode.ENFORCE, Mode.WARN])
subjects = st.sampled_from([user("alice"), user("bob"), group("ml"), CLUSTER])


@dataclass(frozen=True)
class World:
    """Existing objects and reservations in flight."""

    rows: dict[ObjectKey, Row]
    in_flight: list[Reservation]

    def index(self) -> UsageIndex:
        index = UsageIndex(by_payer(bind))
        for key, row in self.rows.items():
            index.observe(key, row)
        for reservation in self.in_flight:
            index.reserve(reservation)
        return index

    def largest(self, key: ObjectKey, limit: Limit) -> Amount:
        """Count the largest amount due to *key* for the subject of *limit*."""
        on_key = [(each.payer, each.amounts) for each in self.in_flight if each.key == key]
        if key in self.rows:
            on_key.append((self.rows[key].payer, self.rows[key].amounts))
        mine = [dict(costs) for payer, costs in on_key if limit.subject in bind(payer, key.namespace)]
        return max((costs.get(limit.resource, 0) for costs in mine), default=0)

    def with_charge(self, charge: Charge, limit: Limit) -> Amount:
        """Count what would be due to all keys if *charge* were reserved in addition."""
        names = {*self.rows, charge.key, *(each.key for each in self.in_flight)}
        return sum(
            replace(self, in_flight=[*self.in_flight, charge.reservation()]).largest(name, limit) for name in names
        )


def an_update(charge: Charge, payer_before: tuple[Amounts, bool]) -> Charge:
    before, is_adopted = payer_before
    payer = BOB if is_adopted else charge.payer
    return structs.replace(charge, base=5, prior=Prior(payer, frozenset(bind(payer, charge.key.namespace)), before))


worlds = st.builds(
    World,
    st.dictionaries(keys, st.builds(Row, uids, st.just(5), payers, amounts)),
    st.lists(st.builds(Reservation, keys, uids, st.sampled_from([0, 5]), payers, amounts), max_size=4),
)
caps = st.sampled_from(["perPod", "perClaim"])
creates = st.builds(Charge, keys, uids, st.just(0), payers, amounts, cap=st.none() | caps)
charges = creates | st.builds(an_update, creates, st.tuples(amounts, st.booleans()))
rules = st.builds(
    LimitsInForce,
    st.lists(st.builds(Limit, subjects, names, st.integers(0, 12), names, mode=modes), max_size=4).map(tuple),
    st.lists(
        st.builds(Limit, st.just(ONE_OBJECT), names, st.integers(0, 6), names, mode=modes, cap=caps), max_size=2
    ).map(tuple),
)


def accounts_under(in_force: LimitsInForce, charge: Charge) -> LimitsInForce:
    """Return only limits on subjects of the charge: `resolve_limits` returns no others."""
    mine = bind(charge.payer, charge.key.namespace)
    return structs.replace(in_force, sums=tuple(limit for limit in in_force.sums if limit.subject in mine))


@given(worlds, charges, rules)
def test_exactly_the_limits_that_a_count_finds_exceeded_are_named(
    world: World, charge: Charge, every_rule: LimitsInForce
) -> None:
    in_force, asked = accounts_under(every_rule, charge), dict(charge.amounts)
    before = dict(charge.prior.amounts) if charge.prior else {}
    is_growth = (
        charge.prior is None
        or charge.prior.payer != charge.payer
        or any(asked[name] > before.get(name, 0) for name in asked)
    )
    caps = [
        cap
        for cap in in_force.caps
        if cap.cap == charge.cap and asked.get(cap.resource, 0) > max(cap.hard, before.get(cap.resource, 0))
    ]
    limits = [
        limit
        for limit in in_force.sums
        if asked.get(limit.resource, 0) > charge.before(limit.resource, limit.subject)
        and world.with_charge(charge, limit) > limit.hard
    ]
    over: list[Limit] = [*caps, *limits] if is_growth else []
    enforced = [rule for rule in over if rule.mode is Mode.ENFORCE]
    verdict = decide(charge, in_force, world.index())
    if isinstance(verdict, Denied):
        assert [excess.rule for excess in verdict.excesses] == enforced
    else:
        assert not enforced
        assert [excess.rule for excess in verdict.tolerated] == over
        assert verdict.reservation == (charge.reservation() if is_growth else None)


@given(worlds, charges, rules)
def test_what_is_allowed_to_grow_never_takes_a_sum_above_a_limit(
    world: World, charge: Charge, every_rule: LimitsInForce
) -> None:
    in_force, index = accounts_under(every_rule, charge), world.index()
    verdict = decide(charge, in_force, index)
    assume(isinstance(verdict, Allowed))
    assert isinstance(verdict, Allowed)
    if verdict.reservation is not None:
        index.reserve(verdict.reservation)
    for limit in in_force.sums:
        if limit.mode is Mode.ENFORCE and dict(charge.amounts).get(limit.resource, 0) > charge.before(
            limit.resource, limit.subject
        ):
            assert (
                index.used(limit.subject, limit.resource) + index.reserved(limit.subject, limit.resource) <= limit.hard
            )


@given(worlds, charges, rules)
def test_a_repeated_call_gets_the_same_answer_and_holds_nothing_more(
    world: World, charge: Charge, every_rule: LimitsInForce
) -> None:
    in_force, index = accounts_under(every_rule, charge), world.index()
    verdict = decide(charge, in_force, index)
    assert decide(charge, in_force, index) == verdict
    if isinstance(verdict, Allowed) and verdict.reservation is not None:
        index.reserve(verdict.reservation)
        held = index._used.get(CLUSTER), index.reserved(CLUSTER, "gpu"), index.reserved(CLUSTER, "pods")
        again = decide(charge, in_force, index)
        assert isinstance(again, Allowed)
        assert again.reservation == verdict.reservation
        index.reserve(again.reservation)
        assert (index._used.get(CLUSTER), index.reserved(CLUSTER, "gpu"), index.reserved(CLUSTER, "pods")) == held


def asking_for(charge: Charge, fits: dict[str, Amount]) -> Charge:
    costs = {name: fits.get(name, amount) for name, amount in charge.amounts}
    return structs.replace(charge, amounts=tuple((name, amount) for name, amount in costs.items() if amount))


@given(worlds, charges, rules)
def test_the_amount_said_to_fit_is_the_largest_that_does(
    world: World, charge: Charge, every_rule: LimitsInForce
) -> None:
    in_force, index = accounts_under(every_rule, charge), world.index()
    verdict = decide(charge, in_force, index)
    assume(isinstance(verdict, Denied))
    assert isinstance(verdict, Denied)
    fits: dict[str, Amount] = {}
    for excess in verdict.excesses:
        fits[excess.rule.resource] = min(excess.fits, fits.get(excess.rule.resource, excess.fits))
    assert isinstance(decide(asking_for(charge, fits), in_force, index), Allowed)
    for name, most in fits.items():
        assert isinstance(decide(asking_for(charge, {**fits, name: most + 1}), in_force, index), Denied)
