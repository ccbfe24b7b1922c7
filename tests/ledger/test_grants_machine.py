"""
The machine of `test_ledger_machine`, with replicas that allow in their memory what their grants have room for.

Here time passes, because a grant rests on it: a create is stored within 40 seconds of being asked for, or never; a
grant is good for ten seconds, and goes after fifty. Whatever happens at the same time happens in any order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule, run_state_machine_as_test

from tests.fakes import FakeClock, by_payer, grants_of
from tests.ledger.test_ledger_machine import (
    ADOPTERS,
    ANY_ORDER,
    HARD,
    MOST_PER_NAME,
    NOW,
    REPLICAS,
    SEARCH,
    SLOTS,
    UID,
    Attempt,
    Change,
    Course,
    CrowdedError,
    ExceededError,
    ForgottenError,
    LedgerMachine,
    Replica,
    Swap,
    accounts,
    payers,
    replicas,
)
from webhook.ledger import grants, own_grant, replica_view
from webhook.ledger.codec import write_ledger
from webhook.ledger.grants import Grants
from webhook.ledger.own_grant import VALID_FOR, Hards, Moment, OwnGrant, Renewed
from webhook.ledger.protocol import Ledger, Room
from webhook.ledger.replica_view import ReplicaView
from webhook.quota.decision import Allowed, Decision, decide
from webhook.quota.demand import Demand, LimitKey
from webhook.quota.limits import resolve_limits
from webhook.quota.objects import ObjectKey
from webhook.quota.policy import Defaults, Entry, Group, Policy
from webhook.quota.reservation import Attempt as Pending
from webhook.quota.reservation import Charge
from webhook.quota.subject import Account, Payer
from webhook.quota.usage import UsageIndex, UsageView

HOLD = 40.0
"""Seconds after it was asked for in which a create may be stored."""


@dataclass
class Granted(Replica):
    """A replica that takes grants; one that starts anew is another holder."""

    clock: FakeClock = field(default_factory=FakeClock)

    def __post_init__(self) -> None:
        self.index = UsageIndex(by_payer(accounts))
        holder = f"{self.name}-{next(self.tokens)}"
        self.view = ReplicaView(
            self.index,
            charged=("pods",),
            new_token=lambda: f"{holder}-{next(self.tokens)}",
            grants=grants_of(holder, self.clock, is_on=True),
        )


HARD_HERE = {key: 3 * amount for key, amount in HARD.items()}
POLICY_HERE = Policy(
    defaults=Defaults(user=Entry("defaults.user", hard={"cpu": 9})),
    groups={"ml": Group(pool=Entry("groups.ml.pool", hard={"cpu": 9}))},
    cluster=Entry("cluster", hard={"cpu": 12, "gpu": 3}),
)
NAMES = [ObjectKey("pods", "red", f"name-{number}") for number in range(12)]


few = st.lists(st.sampled_from(NAMES), min_size=2, max_size=5, unique=True)
likely = st.sampled_from([Course.UNTIL_ALLOWED, Course.UNTIL_STORED])


class GrantsMachine(LedgerMachine):
    """Replicas with grants, and time. There are more names and more room, for creates that do not contend."""

    hard = HARD_HERE
    limits: ClassVar = {
        payer: resolve_limits(POLICY_HERE, Account(payer), namespace="red", labels={}, now=NOW) for payer in ADOPTERS
    }

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.asked: dict[str, float] = {}
        self.written: dict[str, float] = {}
        self.lost_at = 0.0
        self.allowed_in_memory = 0
        self.replicas = [self.new(number) for number in REPLICAS]

    def new(self, number: int) -> Granted:
        return Granted(f"r{number}", self.tokens, clock=self.clock)

    # Time.

    @rule(seconds=st.sampled_from([1.0, 5.0, 10.0, 20.0]))
    def pass_time(self, seconds: float) -> None:
        """Nothing is stored any more that was asked for too long ago."""
        self.clock.pass_by(seconds)
        self.attempts = [each for each in self.attempts if not self.is_over(each)]

    def is_over(self, attempt: Attempt) -> bool:
        return self.clock.seconds - self.asked[attempt.charge.uid] > HOLD

    def replace_text(self, text: str) -> None:
        super().replace_text(text)
        known = self.written
        self.written = {token: known.get(token, self.clock.seconds) for token in self.ledger.grants}

    # Deciding.

    @rule(
        names=few,
        payer=payers,
        number=replicas,
        course=likely,
        cpu=st.sampled_from([1, 1, 3]),
    )
    def create_several(self, names: list[ObjectKey], payer: Payer, number: int, course: Course, cpu: int) -> None:
        """Ask for the same again and again: the first is decided on the ledger, the others find a grant."""
        for key in names:
            self.ask(Charge(key, f"uid-{next(self.uids)}", 0, payer, (("cpu", cpu),)), number, course)

    def decide(self, charge: Charge, number: int, *, is_fresh: bool, is_repetition: bool) -> None:
        replica = self.replicas[number]
        if not is_repetition:
            self.asked[charge.uid] = self.clock.seconds
        attempt = None if is_repetition else Attempt(charge)

        def judge(view: UsageView) -> Decision:
            return decide(charge, self.limits[charge.payer], view)

        view = replica.view
        if view.may_decide_in_memory(charge) and view.allow_in_memory(judge(replica.index), dry_run=False):
            self.allowed_in_memory += 1
            self.answer(attempt)
        elif replica.swap is None and not charge.grows:
            self.answer(attempt)
        elif replica.swap is None:
            if is_fresh or not replica.copy:
                self.read(replica)
            if view.ledger.is_open and not view.unreached_target():
                self.decide_on_the_ledger(replica, attempt, judge)

    def decide_on_the_ledger(
        self, replica: Replica, attempt: Attempt | None, judge: Callable[[UsageView], Decision]
    ) -> None:
        view, verdict = replica.view, judge(replica.index)
        if not isinstance(verdict, Allowed):
            return
        if not view.granted_to_others(verdict, judge):
            assert verdict.reservation is not None
            view.hold(verdict.reservation)
            view.grants.asked(verdict)
        else:
            attempt = None
            if not view.has_additions:
                return
        if view.has_additions:
            self.begin_swap(replica, attempt)
        elif replica.copy == self.version:
            self.answer(attempt)

    def begin_swap(self, replica: Replica, attempt: Attempt | None) -> None:
        may_take = self.version % 4 != 0  # now and then something is not known that a decision needs
        replica.swap = Swap(write_ledger(replica.view.next_version(may_take=may_take), uid=UID), replica.copy, attempt)

    def answer(self, attempt: Attempt | None) -> None:
        if attempt is not None and not self.is_over(attempt):
            super().answer(attempt)

    # What seldom comes together by chance.

    def grant(self, number: int, payer: Payer) -> None:
        """Have a replica take a grant: something is created, and all that exists is deleted before, for everybody."""
        for attempt in list(self.attempts):
            self.persist_attempt(attempt)
        for key, row in self.stored().items():
            self.history.append(Change(key, row.uid, None))
        for each in REPLICAS:
            self.swap(each, is_answer_lost=False)
            self.list_all(each, 0)
            self.write_down_what_was_finished(each)
        key = ObjectKey("pods", "red", f"passing-{next(self.uids)}")
        self.ask(Charge(key, f"uid-{next(self.uids)}", 0, payer, (("cpu", 1),)), number, Course.UNTIL_STORED)
        self.list_all(number, 0)

    @rule(number=replicas, payer=payers, is_gone=st.booleans(), is_seen=st.booleans())
    def stand_still(self, number: int, payer: Payer, *, is_gone: bool, is_seen: bool) -> None:
        """For so long that others take the grant out; what is in flight may be stored shortly before."""
        self.grant(number, payer)
        self.create_several(NAMES[:2], payer, number, Course.UNTIL_DECIDED, 1)
        for attempt in list(self.attempts):
            self.persist_attempt(attempt)
        if is_gone:
            self.crash(number, 0)
        self.pass_time(VALID_FOR + HOLD + 1)
        for other in REPLICAS:
            if other != number:
                self.expire_grants(other)
                self.write_down_what_was_finished(other)
                if is_seen:
                    self.list_all(other, 0)
        self.create_several(NAMES[2:4], payer, number, Course.UNTIL_DECIDED, 1)

    @rule(payer=payers, number=replicas)
    def settle_what_others_have_not_seen(self, payer: Payer, number: int) -> None:
        """The watch of the holder is ahead of all others."""
        self.grant(number, payer)
        self.create_several(NAMES[6:8], payer, number, Course.UNTIL_STORED, 1)
        self.pass_time(VALID_FOR / 2)
        self.list_all(number, 0)
        self.write_down_what_was_finished(number)
        self.hear_of_the_ledger()

    @rule(payer=payers, number=replicas)
    def tidy_up_at_once(self, payer: Payer, number: int) -> None:
        """All look for what is over while something is in flight that was allowed in memory."""
        self.grant(number, payer)
        self.create_several(NAMES[4:6], payer, number, Course.UNTIL_DECIDED, 1)
        self.expire_what_was_allowed_in_memory(number)
        for each in REPLICAS:
            if each != number:
                self.expire_grants(each)
            self.write_down_what_was_finished(each)
        self.hear_of_the_ledger()

    @rule(payer=payers, number=replicas)
    def create_all_that_is_free(self, payer: Payer, number: int) -> None:
        """One object needs more than the grant has, and all that is left beside it."""
        self.grant(number, payer)
        index = self.replicas[number].index
        keys = [(subject, name) for subject, name in self.hard if subject in accounts(payer, "red") and name == "cpu"]
        free = min(self.hard[key] - index.allocated(*key) for key in keys)
        if free > 0:
            uid = f"uid-{next(self.uids)}"
            self.ask(Charge(SLOTS[0], uid, 0, payer, (("cpu", free),)), number, Course.UNTIL_STORED)
        self.create_several(NAMES, payer, number, Course.UNTIL_STORED, 1)

    @rule(names=few, payer=payers, number=replicas, ends=st.sampled_from(["lands", "is late", "has no answer"]))
    def create_beside_a_swap(self, names: list[ObjectKey], payer: Payer, number: int, ends: str) -> None:
        """The swap gives back what another replica has recalled."""
        self.grant(number, payer)
        self.recall((number + 1) % len(REPLICAS))
        self.renew(number)
        if ends == "is late":
            self.give_up_a_swap(number)
            if self.late:
                self.make_a_late_swap()
        elif ends == "has no answer":
            self.swap(number, is_answer_lost=True)
        self.create_several(names, payer, number, Course.UNTIL_DECIDED, 1)
        self.swap(number, is_answer_lost=False)
        self.hear_of_the_ledger()

    def recall(self, number: int) -> None:
        replica = self.replicas[number]
        if replica.swap is not None:
            return
        self.read(replica)
        replica.view.grants.recall([LimitKey(*key) for key in self.hard], replica.view.ledger)
        if replica.view.ledger.is_open and replica.view.has_additions:
            self.begin_swap(replica, None)
            self.swap(number, is_answer_lost=False)

    @rule(names=few, payer=payers, number=replicas)
    def lose_the_ledger_unnoticed(self, names: list[ObjectKey], payer: Payer, number: int) -> None:
        """What a replica allows that has not been told is stored long after."""
        self.grant(number, payer)
        self.lose_the_ledger()
        self.pass_time(VALID_FOR)
        self.create_several(names, payer, number, Course.UNTIL_DECIDED, 1)
        self.pass_time(HOLD - VALID_FOR + 1)
        if not self.ledger.is_open:
            self.open_the_ledger_again()

    # Swaps.

    @rule(number=replicas)
    def renew(self, number: int) -> None:
        """Write the grant anew, for whatever reason; the swap is under way afterwards."""
        replica = self.replicas[number]
        if replica.swap is None:
            self.read(replica)
            if replica.view.ledger.is_open:
                self.begin_swap(replica, None)

    @rule(number=replicas, is_answer_lost=st.booleans())
    def swap(self, number: int, *, is_answer_lost: bool) -> None:
        replica = self.replicas[number]
        if replica.swap is not None:
            is_first = self.swap_is_first(replica.swap)
            if not is_first or is_answer_lost:
                replica.view.lost(may_have_landed=is_first)
                replica.copy = 0 if is_first else replica.copy
        super().swap(number, is_answer_lost=is_answer_lost)

    @rule(number=replicas)
    def give_up_a_swap(self, number: int) -> None:
        replica = self.replicas[number]
        if replica.swap is not None:
            replica.view.lost(may_have_landed=True)
            replica.copy = 0
        super().give_up_a_swap(number)

    @rule(number=replicas)
    def write_down_what_was_finished(self, number: int) -> None:
        replica = self.replicas[number]
        if replica.swap is None:
            self.read(replica)
            if replica.view.has_removals:
                self.begin_swap(replica, None)
                self.swap(number, is_answer_lost=False)

    # What ends.

    @rule(number=replicas)
    def expire_what_was_allowed_in_memory(self, number: int) -> None:
        replica = self.replicas[number]
        if replica.swap is None:
            for each in replica.view.grants.old(HOLD + 0.5):
                replica.view.expire_granted(each, found=self.look_up(each.reservation.key))

    @rule(number=replicas)
    def expire_grants(self, number: int) -> None:
        """Take out those of processes that are gone, or seem to be."""
        replica = self.replicas[number]
        if replica.swap is not None:
            return
        self.read(replica)
        newest = max((row.version for row in self.stored().values()), default=0)
        for token, each in replica.view.ledger.grants.items():
            is_own = each.holder.startswith(f"{replica.name}-") and token in dict(self.own_grants(replica))
            if not is_own and self.is_grant_over(token):
                replica.view.grants.expire(token, {"pods": newest})

    def own_grants(self, replica: Replica) -> list[tuple[str, object]]:
        others = dict(replica.view.grants._others_in(replica.view.ledger))
        return [(token, each) for token, each in replica.view.ledger.grants.items() if token not in others]

    def is_grant_over(self, token: str) -> bool:
        return self.clock.seconds - self.written.get(token, self.clock.seconds) > VALID_FOR + HOLD

    @rule()
    def lose_the_ledger(self) -> None:
        super().lose_the_ledger()
        self.lost_at = self.clock.seconds

    def may_open(self) -> bool:
        return self.clock.seconds - self.lost_at > VALID_FOR + HOLD

    def crash_and_restart(self, number: int, lag: int) -> None:
        raise NotImplementedError

    @rule(number=replicas, lag=st.integers(0, 3))
    def crash(self, number: int, lag: int) -> None:
        """Forget everything; a swap on its way may still be made, and the new list may be stale."""
        swap = self.replicas[number].swap
        if swap is not None:
            self.late.append(swap)
        self.replicas[number] = self.new(number)
        self.list_all(number, lag)

    # What must hold.

    @invariant()
    def one_name_never_fills_the_ledger(self) -> None:
        """Of what a replica allowed in its memory it writes down one of each name, if that is recalled."""
        creates = Counter((each.key, each.payer) for each in self.ledger.reservations.values() if each.base == 0)
        if creates and max(creates.values()) > MOST_PER_NAME + len(REPLICAS):
            raise CrowdedError(creates)

    def check_that_all_is_counted(self, index: UsageIndex) -> None:
        """What a replica does not know by its name fits into what others were granted, for each key."""
        replica = next(each for each in self.replicas if each.index is index)
        counted = replica.view.grants.counted_in(index)
        for (subject, name), used in self.usage().items():
            alive = [each.charge for each in self.attempts if each.charge.grows and self.may_persist(each.charge)]
            of_stored = {(key, row.uid): dict(row.amounts).get(name, 0) for key, row in self.stored().items()}
            unknown = sum(
                dict(charge.amounts).get(name, 0)
                for charge in alive
                if charge.prior is None
                and subject in accounts(charge.payer, charge.key.namespace)
                and not index.held(charge.key, subject, name)
                and (charge.key, charge.uid) not in of_stored
                and charge.key not in self.stored()
            )
            granted = counted.allocated(subject, name) - index.allocated(subject, name)
            names = {charge.key for charge in alive}
            if len(names) == len(alive) and unknown > granted:
                raise ForgottenError(subject, name, unknown, granted)
            if counted.allocated(subject, name) < used:
                raise ForgottenError(subject, name, used)

    def teardown(self) -> None:
        if not self.ledger.is_open:
            self.clock.pass_by(100)
        self.attempts = []
        for replica in self.replicas:
            replica.view.grants.stop()
        super().teardown()
        assert self.ledger.grants == {}

    def bring_to_rest(self, number: int) -> None:
        self.clock.pass_by(100)
        self.expire_what_was_allowed_in_memory(number)
        self.expire_grants(number)
        super().bring_to_rest(number)


@pytest.fixture(autouse=True)
def grants_to_the_last_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """There are few places here: all that is free may be granted, and what was never asked for before."""
    monkeypatch.setattr(replica_view, "MOST_PER_NAME", MOST_PER_NAME)
    monkeypatch.setattr(grants, "_SHARE", 1)
    monkeypatch.setattr(grants, "_FIRST_REQUESTS", 3)
    monkeypatch.setattr(grants, "_SWAPS_BEFORE", 0)


def test_nothing_that_three_replicas_with_grants_can_do_exceeds_a_limit() -> None:
    run_state_machine_as_test(GrantsMachine, settings=ANY_ORDER)


# Every rule that grants rest on, switched off: the machine has to notice.


class ExpiresAtOnce(GrantsMachine):
    """Takes out grants under which creates may still be stored."""

    def is_grant_over(self, token: str) -> bool:  # noqa: ARG002 - that is what is wrong
        return True


class OpensAfterForty(GrantsMachine):
    """Opens a lost ledger before what was allowed without knowing of the loss is over."""

    def may_open(self) -> bool:
        return self.clock.seconds - self.lost_at > HOLD


class ForgetsAtOnce(GrantsMachine):
    """Gives back what was allowed in memory while it may still be stored."""

    @rule(number=replicas)
    def expire_what_was_allowed_in_memory(self, number: int) -> None:
        replica = self.replicas[number]
        if replica.swap is None:
            for each in replica.view.grants.own.kept():
                replica.view.expire_granted(each, found=self.look_up(each.reservation.key))


def _without_the_grants_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    take_in = Grants.take_in

    def take_in_own(self: Grants, ledger: Ledger) -> None:
        take_in(self, ledger)
        self._others = {}

    monkeypatch.setattr(Grants, "take_in", take_in_own)


def _without_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_grant, "VALID_FOR", 10.0**9)


def _without_settling(monkeypatch: pytest.MonkeyPatch) -> None:
    begin = OwnGrant.begin
    monkeypatch.setattr(OwnGrant, "begin", lambda self, *given, **named: Renewed(begin(self, *given, **named).room, ()))


def _without_a_swap_for_what_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = OwnGrant.seen

    def refills(self: OwnGrant, attempt: Pending, *, seen_at: int) -> bool:
        if not self.is_charged(attempt):
            return seen(self, attempt, seen_at=seen_at)
        self.forget(attempt)
        return True

    monkeypatch.setattr(OwnGrant, "seen", refills)


def _without_what_is_in_flight(monkeypatch: pytest.MonkeyPatch) -> None:
    begin = OwnGrant.begin

    def drops(self: OwnGrant, token: str, spare: Room, hards: Hards, *, now: Moment) -> Renewed:
        renewed = begin(self, token, spare, hards, now=now)
        assert self._swap is not None
        self._swap.budget.room, self._swap.budget.spent = spare, {}
        return Renewed(spare, renewed.left)

    monkeypatch.setattr(OwnGrant, "begin", drops)


def _without_the_swap_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OwnGrant, "has_room_for", lambda self, demand: self._budget.has_room_for(demand))


def _without_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(self: OwnGrant, *, may_have_landed: bool) -> None:
        self._swap = None

    monkeypatch.setattr(OwnGrant, "lost", lost)


def _without_the_newest_version(monkeypatch: pytest.MonkeyPatch) -> None:
    expire = Grants.expire
    monkeypatch.setattr(Grants, "expire", lambda self, token, _: expire(self, token, {}))


def _without_all_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    def has_room(self: OwnGrant, demand: Demand) -> bool:
        return any(
            self._budget.has_room_for(Demand((each,)))
            and (self._swap is None or self._swap.budget.has_room_for(Demand((each,))))
            for each in demand.under
        )

    monkeypatch.setattr(OwnGrant, "has_room_for", has_room)


WEAKENED: dict[str, tuple[type[GrantsMachine], Callable[[pytest.MonkeyPatch], None]]] = {
    "counting the grants of others": (GrantsMachine, _without_the_grants_of_others),
    "ten seconds": (GrantsMachine, _without_a_bound),
    "the watermark of what leaves a grant": (GrantsMachine, _without_settling),
    "a swap for what the watch has shown": (GrantsMachine, _without_a_swap_for_what_is_seen),
    "charging a new grant with what is in flight": (GrantsMachine, _without_what_is_in_flight),
    "what a swap under way makes of the grant": (GrantsMachine, _without_the_swap_under_way),
    "doubt after a swap without an answer": (GrantsMachine, _without_doubt),
    "fifty seconds until a grant goes": (ExpiresAtOnce, lambda _: None),
    "the newest version when a grant goes": (GrantsMachine, _without_the_newest_version),
    "fifty seconds after a loss": (OpensAfterForty, lambda _: None),
    "forty seconds until what is unseen comes back": (ForgetsAtOnce, lambda _: None),
    "room under every key": (GrantsMachine, _without_all_keys),
}


@pytest.mark.slow
@pytest.mark.parametrize(("machine", "weaken"), list(WEAKENED.values()), ids=list(WEAKENED))
def test_without_a_rule_the_machine_finds_what_goes_wrong(
    machine: type[GrantsMachine], weaken: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    weaken(monkeypatch)
    with pytest.raises((ExceededError, ForgottenError)):
        run_state_machine_as_test(machine, settings=SEARCH)
