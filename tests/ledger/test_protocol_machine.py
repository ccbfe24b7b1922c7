"""
What is stored never exceeds a limit, at any version: the rules of design and book together, for one replica.

The replica hears of changes late, is restarted from a list that may be stale, and its reservations are let go by the
rules of `docs/consistency.md`. Each rule is switched off once, to see that the machine would notice.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar, NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from webhook.quota.decision import Allowed, decide
from webhook.quota.limits import resolve_limits
from webhook.quota.objects import ObjectKey
from webhook.quota.policy import Defaults, Entry, Group, Policy, subjects
from webhook.quota.reservation import Charge, Prior, Reservation
from webhook.quota.resources import Amount, Amounts
from webhook.quota.subject import CLUSTER, Payer, Subject, group, user
from webhook.quota.usage import Row, UsageIndex

NOW = datetime(2026, 11, 1, tzinfo=UTC)
POLICY = Policy(
    defaults=Defaults(user=Entry("defaults.user", hard={"cpu": 3, "gpu": 1})),
    groups={"ml": Group(pool=Entry("groups.ml.pool", hard={"cpu": 4}))},
    cluster=Entry("cluster", hard={"cpu": 5}),
)
HARD: dict[tuple[Subject, str], Amount] = {
    (user("alice"), "cpu"): 3,
    (user("bob"), "cpu"): 3,
    (user("alice"), "gpu"): 1,
    (user("bob"), "gpu"): 1,
    (group("ml"), "cpu"): 4,
    (CLUSTER, "cpu"): 5,
}
SLOTS = [ObjectKey("pods", "red", name) for name in "abc"]
PAYERS = [Payer("alice", ("ml",)), Payer("bob", ("ml",)), Payer("bob")]

slots = st.sampled_from(SLOTS)
payers = st.sampled_from(PAYERS)
amounts = st.tuples(st.integers(1, 3), st.integers(0, 1)).map(
    lambda each: (("cpu", each[0]), ("gpu", each[1])) if each[1] else (("cpu", each[0]),)
)


def accounts(payer: Payer, namespace: str) -> tuple[Subject, ...]:
    return subjects(POLICY, payer, namespace, {})


class Change(NamedTuple):
    """One version of the store: what a name holds from then on, None if the object *uid* was deleted."""

    key: ObjectKey
    uid: str
    row: Row | None


class ExceededError(Exception):
    """More is stored than a limit allows: what must never happen."""


@dataclass(eq=False)
class Attempt:
    """A write that the API server was told to allow. It persists at most once, if it is not lost."""

    charge: Charge
    reservation: Reservation | None


class ProtocolMachine(RuleBasedStateMachine):
    """An etcd, an API server that calls again, and one replica of ours."""

    without: ClassVar[str] = ""

    def __init__(self) -> None:
        super().__init__()
        self.history: list[Change] = []
        self.attempts: list[Attempt] = []
        self.uids = 0
        self.index = UsageIndex(accounts)
        self.position = 0
        self.settled_through = 0

    def stored(self, version: int | None = None) -> dict[ObjectKey, Row]:
        latest = {change.key: change.row for change in self.history[:version]}
        return {key: row for key, row in latest.items() if row is not None}

    def write(self, key: ObjectKey, uid: str, payer: Payer, booked: Amounts) -> None:
        self.history.append(Change(key, uid, Row(uid, len(self.history) + 1, payer, booked)))

    # What clients and the API server do.

    @rule(key=slots, payer=payers, booked=amounts)
    def create(self, key: ObjectKey, payer: Payer, booked: Amounts) -> None:
        """Ask for a new object, also where the name is taken: that fails, or not, only when it is stored."""
        self.uids += 1
        self.ask(Charge(key, f"uid-{self.uids}", 0, payer, booked))

    @precondition(lambda self: self.stored())
    @rule(data=st.data(), payer=st.none() | payers, booked=amounts)
    def update(self, data: st.DataObject, payer: Payer | None, booked: Amounts) -> None:
        """Ask for a change, or with *payer* for an adoption, based on any version the object has had."""
        key, now = data.draw(st.sampled_from(sorted(self.stored().items())))
        olds = [change.row for change in self.history if change.uid == now.uid and change.row is not None]
        old = data.draw(st.sampled_from(olds[::-1]))
        prior = Prior(old.payer, frozenset(accounts(old.payer, key.namespace)), old.amounts)
        self.ask(Charge(key, old.uid, old.version, payer or old.payer, booked, prior))

    def ask(self, charge: Charge) -> None:
        if self.position < self.settled_through and self.without != "waiting":
            return
        in_force = resolve_limits(POLICY, charge.payer, namespace=charge.key.namespace, labels={}, now=NOW)
        verdict = decide(charge, in_force, self.index)
        if isinstance(verdict, Allowed):
            if verdict.reservation is not None:
                self.index.reserve(verdict.reservation)
            self.attempts.append(Attempt(charge, verdict.reservation))

    @precondition(lambda self: self.attempts)
    @rule(data=st.data())
    def ask_again(self, data: st.DataObject) -> None:
        """Send the same review once more, as after a connection that broke. It is still one write."""
        attempt, before = data.draw(st.sampled_from(self.attempts)), len(self.attempts)
        self.ask(attempt.charge)
        del self.attempts[before:]

    @precondition(lambda self: self.attempts)
    @rule(data=st.data())
    def persist(self, data: st.DataObject) -> None:
        """Store an attempt if etcd's compare succeeds; if not it is dead."""
        attempt = data.draw(st.sampled_from(self.attempts))
        self.attempts.remove(attempt)
        charge = attempt.charge
        if self.may_persist(charge) and (charge.prior is not None or charge.key not in self.stored()):
            self.write(charge.key, charge.uid, charge.payer, charge.amounts)

    def may_persist(self, charge: Charge) -> bool:
        """Say whether there is a future in which it is stored: a name may still get free, a version never returns."""
        now = self.stored().get(charge.key)
        return charge.prior is None or (now is not None and (now.uid, now.version) == (charge.uid, charge.base))

    @precondition(lambda self: self.attempts)
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        self.attempts.remove(data.draw(st.sampled_from(self.attempts)))

    @precondition(lambda self: self.stored())
    @rule(data=st.data(), is_deletion=st.booleans())
    def delete_or_bump_status(self, data: st.DataObject, is_deletion: bool) -> None:
        key, row = data.draw(st.sampled_from(sorted(self.stored().items())))
        if is_deletion:
            self.history.append(Change(key, row.uid, None))
        else:
            self.write(key, row.uid, row.payer, row.amounts)

    # What the replica does.

    @precondition(lambda self: self.position < len(self.history))
    @rule(count=st.integers(1, 3))
    def watch(self, count: int) -> None:
        for version, change in enumerate(self.history[self.position : self.position + count], self.position + 1):
            if change.row is not None:
                settled = self.index.observe(change.key, change.row)
            else:
                settled = self.index.forget(change.key, change.uid, version)
            self.hear(version, settled)

    def hear(self, version: int, settled: tuple[Reservation, ...]) -> None:
        self.position = version
        self.index.reached("pods", version)
        if settled:
            self.settled_through = max(self.settled_through, version)

    @rule(lag=st.integers(0, 3), is_restart=st.booleans())
    def list_all(self, lag: int, is_restart: bool) -> None:
        """Skip what was missed. Restarted, the replica knows what was in flight, and its list may be stale."""
        version = max(len(self.history) - lag, 0)
        if is_restart:
            kept, self.index = list(self.index.reservations()), UsageIndex(accounts)
            for reservation in kept:
                self.index.reserve(reservation)
        elif version < self.position:
            return
        self.index.list_started("pods")
        settled = [each for key, row in self.stored(version).items() for each in self.index.observe(key, row)]
        settled += self.index.list_finished("pods", version)
        self.hear(version, tuple(settled))

    @rule(data=st.data())
    def expire(self, data: st.DataObject) -> None:
        """Let go of what can no longer be persisted. What turns out to be stored has to be seen before deciding."""
        alive = [attempt.reservation for attempt in self.attempts if self.without != "the time that writes take"]
        held = {(each.uid, each.base, each.payer) for each in alive if each is not None}
        dead = [each for each in self.index.reservations() if (each.uid, each.base, each.payer) not in held]
        if not dead:
            return
        reservation = data.draw(st.sampled_from(sorted(dead, key=lambda each: (each.key, each.uid, each.base))))
        self.index.drop(reservation)
        found = self.stored().get(reservation.key)
        if found is None or self.without == "the quorum read":
            return
        if found.uid == reservation.uid and found.version > reservation.base:
            self.settled_through = max(self.settled_through, found.version)

    # What must hold.

    def usage(self) -> dict[tuple[Subject, str], Amount]:
        usage: dict[tuple[Subject, str], Amount] = dict.fromkeys(HARD, 0)
        for key, row in self.stored().items():
            for name, amount in row.amounts:
                for subject in accounts(row.payer, key.namespace):
                    if (subject, name) in usage:
                        usage[subject, name] += amount
        return usage

    @invariant()
    def no_limit_is_exceeded_by_what_is_stored(self) -> None:
        if over := {key: used for key, used in self.usage().items() if used > HARD[key]}:
            raise ExceededError(over)

    @invariant()
    def whatever_is_stored_or_may_still_be_is_covered(self) -> None:
        if self.position < self.settled_through or self.without:
            return
        charges = [each.charge for each in self.attempts if each.reservation and self.may_persist(each.charge)]
        claims = [(each.key, each.payer, each.amounts) for each in charges]
        for key, payer, booked in [*claims, *((key, row.payer, row.amounts) for key, row in self.stored().items())]:
            for subject in accounts(payer, key.namespace):
                assert all(self.index.held(key, subject, name) >= amount for name, amount in booked)
        for (subject, name), used in self.usage().items():
            assert self.index.used(subject, name) + self.index.reserved(subject, name) >= used

    def teardown(self) -> None:
        """When all has come to rest, exactly what is stored is booked."""
        self.attempts = []
        self.list_all(lag=0, is_restart=False)
        for reservation in list(self.index.reservations()):
            self.index.drop(reservation)
        for (subject, name), used in self.usage().items():
            assert (self.index.used(subject, name), self.index.reserved(subject, name)) == (used, 0)
        super().teardown()


TestProtocol = ProtocolMachine.TestCase
TestProtocol.settings = settings(max_examples=150, stateful_step_count=40, deadline=None, report_multiple_bugs=False)


@pytest.mark.parametrize("rule_off", ["waiting", "the time that writes take", "the quorum read"])
def test_a_limit_is_exceeded_without(rule_off: str) -> None:
    class Weakened(ProtocolMachine):
        without = rule_off

    searching = settings(
        max_examples=5000,
        stateful_step_count=40,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    with pytest.raises(ExceededError):
        run_state_machine_as_test(Weakened, settings=searching)
