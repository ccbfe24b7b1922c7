"""
What is stored never exceeds a limit, at any version, with three replicas that share a ledger: the real policy, limits,
index, view, decision and text, under every order of events that Hypothesis generates.

Replicas learn of changes late, hold old copies of the ledger, lose swaps, crash, and restart from lists that may be
stale; swaps whose answer was lost may land later; the ledger itself gets lost. Each safety rule is switched off once,
to check that the machine detects that. The same protocol, without our code, is checked exhaustively in tests/model.
"""

from __future__ import annotations

import enum
import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import ClassVar, NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from tests.fakes import by_payer, grants_of
from webhook.ledger import replica_view
from webhook.ledger.codec import read_ledger, write_ledger
from webhook.ledger.protocol import Ledger
from webhook.ledger.replica_view import ReplicaView
from webhook.quota.decision import Allowed, decide
from webhook.quota.limits import resolve_limits
from webhook.quota.objects import ObjectKey, StoredVersion
from webhook.quota.policy import Defaults, Entry, Group, Policy, subjects
from webhook.quota.reservation import Charge, Prior, Reservation
from webhook.quota.resources import Amount, Amounts
from webhook.quota.subject import CLUSTER, Account, Payer, Subject, group, user
from webhook.quota.usage import Row, UsageIndex

UID = "uid-of-the-ledger"
NOW = datetime(2026, 11, 1, tzinfo=UTC)
POLICY = Policy(
    defaults=Defaults(user=Entry("defaults.user", hard={"cpu": 3})),
    groups={"ml": Group(pool=Entry("groups.ml.pool", hard={"cpu": 3}))},
    cluster=Entry("cluster", hard={"cpu": 4, "gpu": 1}),
)
HARD: dict[tuple[Subject, str], Amount] = {
    (user("alice"), "cpu"): 3,
    (user("bob"), "cpu"): 3,
    (group("ml"), "cpu"): 3,
    (CLUSTER, "cpu"): 4,
    (CLUSTER, "gpu"): 1,
}
SLOTS = [ObjectKey("pods", "red", name) for name in "abc"]
REPLICAS = range(3)
MOST_PER_NAME = 2
"""Few, so that creates of one name are made one in nearly every example."""

replicas = st.sampled_from(REPLICAS)
PAYERS = [Payer("alice", ("ml",)), Payer("bob", ("ml",))]
ADOPTERS = [*PAYERS, Payer("bob")]
LIMITS = {payer: resolve_limits(POLICY, Account(payer), namespace="red", labels={}, now=NOW) for payer in ADOPTERS}
payers, adopters = st.sampled_from(PAYERS), st.sampled_from(ADOPTERS)
amounts = st.tuples(st.integers(1, 3), st.integers(0, 1)).map(
    lambda each: (("cpu", each[0]), ("gpu", each[1])) if each[1] else (("cpu", each[0]),)
)


def accounts(payer: Payer, namespace: str) -> tuple[Subject, ...]:
    return subjects(POLICY, Account(payer), namespace, {})


class ExceededError(Exception):
    """More is stored than a limit allows: what must never happen."""


class ForgottenError(Exception):
    """Something that is stored, or may still be, is counted by nobody."""


class CrowdedError(Exception):
    """One name fills the ledger."""


class Course(enum.Enum):
    """How far a request gets before something else happens."""

    ON_AN_OLD_COPY = enum.auto()
    UNTIL_DECIDED = enum.auto()
    UNTIL_ALLOWED = enum.auto()
    UNTIL_STORED = enum.auto()


courses = st.sampled_from(Course)


class Change(NamedTuple):
    """One version of the store: what a name holds from then on, None if the object *uid* was deleted."""

    key: ObjectKey
    uid: str
    row: Row | None


@dataclass(eq=False)
class Attempt:
    """A write that the API server was told to allow. It persists at most once, if it is not lost."""

    charge: Charge


@dataclass(eq=False)
class Swap:
    """A write of the ledger that is under way: it is made if the ledger is still at *after*."""

    text: str
    after: int
    attempt: Attempt | None


@dataclass
class Replica:
    """One process of ours: what it knows."""

    name: str
    tokens: Iterator[int]
    index: UsageIndex = field(default_factory=lambda: UsageIndex(by_payer(accounts)))
    position: int = 0
    copy: int = 0
    swap: Swap | None = None

    def __post_init__(self) -> None:
        self.view = ReplicaView(
            self.index,
            charged=("pods",),
            new_token=lambda: f"{self.name}-{next(self.tokens)}",
            grants=grants_of(self.name),
        )


class LedgerMachine(RuleBasedStateMachine):
    """An etcd, an API server that calls again, and three replicas of ours."""

    hard: ClassVar = HARD
    limits: ClassVar = LIMITS

    def __init__(self) -> None:
        super().__init__()
        self.history: list[Change] = []
        self.attempts: list[Attempt] = []
        self.before_the_loss: list[Attempt] = []
        self.late: list[Swap] = []
        self.uids, self.tokens = itertools.count(), itertools.count()
        self.version = 1
        self.text = write_ledger(Ledger.first("epoch").opened({}), uid=UID)
        self.replicas = [Replica(f"r{number}", self.tokens) for number in REPLICAS]

    @property
    def ledger(self) -> Ledger:
        return read_ledger(self.text, uid=UID)

    def stored(self, version: int | None = None) -> dict[ObjectKey, Row]:
        latest = {change.key: change.row for change in self.history[:version]}
        return {key: row for key, row in latest.items() if row is not None}

    def write(self, key: ObjectKey, uid: str, payer: Payer, costs: Amounts) -> None:
        self.history.append(Change(key, uid, Row(uid, len(self.history) + 1, payer, costs)))

    # What clients and the API server do.

    @rule(key=st.sampled_from(SLOTS), payer=payers, costs=amounts, number=replicas, course=courses)
    def create(self, key: ObjectKey, payer: Payer, costs: Amounts, number: int, course: Course) -> None:
        """Ask for a new object, also where the name is taken: that fails, or not, only when it is stored."""
        self.ask(Charge(key, f"uid-{next(self.uids)}", 0, payer, costs), number, course)

    @rule(key=st.sampled_from(SLOTS), payer=payers, number=replicas, one_is_stored=st.booleans())
    def create_in_a_loop(self, key: ObjectKey, payer: Payer, number: int, *, one_is_stored: bool) -> None:
        """Ask for the same name as often as makes them one, and have the first of them stored, or none."""
        before = len(self.attempts)
        for _ in range(MOST_PER_NAME + 1):
            self.create(key, payer, (("cpu", 1),), number, Course.UNTIL_ALLOWED)
        made = self.attempts[before:]
        for attempt in made[1:]:
            self.attempts.remove(attempt)
        if made and one_is_stored:
            self.persist_attempt(made[0])

    @precondition(lambda self: self.stored())
    @rule(data=st.data(), payer=st.none() | adopters, costs=amounts, number=replicas, course=courses)
    def update(self, data: st.DataObject, payer: Payer | None, costs: Amounts, number: int, course: Course) -> None:
        """Ask for a change, or with *payer* for an adoption, based on any version the object has had."""
        key, now = data.draw(st.sampled_from(sorted(self.stored().items())))
        olds = [change.row for change in self.history if change.uid == now.uid and change.row is not None]
        old = data.draw(st.sampled_from(olds[::-1]))
        prior = Prior(old.payer, frozenset(accounts(old.payer, key.namespace)), old.amounts)
        charge = Charge(key, old.uid, old.version, payer or old.payer, costs, prior)
        self.ask(charge, number, course)

    @precondition(lambda self: self.attempts)
    @rule(data=st.data(), number=replicas)
    def ask_again(self, data: st.DataObject, number: int) -> None:
        """Send the same review once more, as after a connection that broke. It is still one write."""
        charge = data.draw(st.sampled_from(self.attempts)).charge
        self.ask(charge, number, Course.UNTIL_DECIDED, is_repetition=True)

    def ask(self, charge: Charge, number: int, course: Course, *, is_repetition: bool = False) -> None:
        """Have one replica decide, and with some luck write it down, and the API server store it."""
        self.decide(charge, number, is_fresh=course is not Course.ON_AN_OLD_COPY, is_repetition=is_repetition)
        if course in (Course.UNTIL_ALLOWED, Course.UNTIL_STORED):
            self.swap(number, is_answer_lost=False)
        if course is Course.UNTIL_STORED:
            for attempt in [each for each in self.attempts if each.charge is charge]:
                self.persist_attempt(attempt)

    def decide(self, charge: Charge, number: int, *, is_fresh: bool, is_repetition: bool) -> None:
        """Decide at one replica, on the copy of the ledger it has; the answer waits for the swap."""
        replica = self.replicas[number]
        if replica.swap is not None:
            return
        if not charge.grows:
            self.answer(None if is_repetition else Attempt(charge))
            return
        if is_fresh or not replica.copy:
            self.read(replica)
        if not replica.view.ledger.is_open or replica.view.unreached_target():
            return
        verdict = decide(charge, self.limits[charge.payer], replica.index)
        if not isinstance(verdict, Allowed):
            return
        assert verdict.reservation is not None
        replica.view.hold(verdict.reservation)
        attempt = None if is_repetition else Attempt(charge)
        if not replica.view.has_additions:  # its object was seen already; an answer needs a fresh copy then
            if replica.copy == self.version:
                self.answer(attempt)
            return
        replica.swap = Swap(write_ledger(replica.view.next_version(), uid=UID), replica.copy, attempt)

    def answer(self, attempt: Attempt | None) -> None:
        if attempt is not None:
            self.attempts.append(attempt)

    def read(self, replica: Replica) -> None:
        if replica.copy != self.version:
            replica.view.take_in(self.ledger)
            replica.copy = self.version

    @precondition(lambda self: self.attempts)
    @rule(data=st.data())
    def persist(self, data: st.DataObject) -> None:
        """Store an attempt if etcd's compare succeeds; if not it is dead."""
        self.persist_attempt(data.draw(st.sampled_from(self.attempts)))

    def persist_attempt(self, attempt: Attempt) -> None:
        self.attempts.remove(attempt)
        charge = attempt.charge
        if self.may_persist(charge) and (charge.prior is not None or charge.key not in self.stored()):
            self.write(charge.key, charge.uid, charge.payer, charge.amounts)

    def may_persist(self, charge: Charge) -> bool:
        """Return whether it may yet be stored: a name may still get free, no version returns."""
        now = self.stored().get(charge.key)
        return charge.prior is None or (now is not None and (now.uid, now.version) == (charge.uid, charge.base))

    @precondition(lambda self: self.attempts)
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        self.attempts.remove(data.draw(st.sampled_from(self.attempts)))

    @precondition(lambda self: self.stored())
    @rule(data=st.data(), is_deletion=st.booleans())
    def delete_or_bump_status(self, data: st.DataObject, *, is_deletion: bool) -> None:
        key, row = data.draw(st.sampled_from(sorted(self.stored().items())))
        if is_deletion:
            self.history.append(Change(key, row.uid, None))
        else:
            self.write(key, row.uid, row.payer, row.amounts)

    # What happens to the ledger.

    def replace_text(self, text: str) -> None:
        self.text, self.version = text, self.version + 1

    @rule(number=replicas, is_answer_lost=st.booleans())
    def swap(self, number: int, *, is_answer_lost: bool) -> None:
        """Write what a replica decided, if nobody was first; the answer may get lost on the way."""
        replica = self.replicas[number]
        swap, replica.swap = replica.swap, None
        if swap is None:
            return
        if not self.swap_is_first(swap):
            replica.view.undo()
            return
        self.replace_text(swap.text)
        if is_answer_lost:
            replica.view.undo()
            return
        replica.view.written(self.ledger)
        replica.copy = self.version
        self.answer(swap.attempt)

    def swap_is_first(self, swap: Swap) -> bool:
        return swap.after == self.version

    @rule(number=replicas)
    def give_up_a_swap(self, number: int) -> None:
        """Hear nothing of a swap; it may still be made."""
        replica = self.replicas[number]
        if replica.swap is not None:
            self.late.append(replica.swap)
            replica.swap = None
            replica.view.undo()

    @precondition(lambda self: self.late)
    @rule()
    def make_a_late_swap(self) -> None:
        swap = self.late.pop()
        if swap.after == self.version:
            self.replace_text(swap.text)

    @rule(number=replicas)
    def write_down_what_was_finished(self, number: int) -> None:
        replica = self.replicas[number]
        if replica.swap is not None:
            return
        self.read(replica)
        if replica.view.has_removals:
            self.replace_text(write_ledger(replica.view.next_version(), uid=UID))
            replica.view.written(self.ledger)
            replica.copy = self.version

    @rule()
    def hear_of_the_ledger(self) -> None:
        for replica in self.replicas:
            if replica.swap is None:
                self.read(replica)

    @rule()
    def lose_the_ledger(self) -> None:
        """Somebody deletes or garbles it, and a replica begins it anew."""
        self.replace_text(write_ledger(Ledger.rebuilding(f"epoch-{self.version}"), uid=UID))
        self.before_the_loss = list(self.attempts)

    @precondition(lambda self: not self.ledger.is_open)
    @rule()
    def open_the_ledger_again(self) -> None:
        """Once nothing can be persisted any more that was in flight when it got lost."""
        if self.may_open():
            newest = max((row.version for row in self.stored().values()), default=0)
            self.replace_text(write_ledger(self.ledger.opened({"pods": newest}), uid=UID))

    def may_open(self) -> bool:
        return not any(each in self.attempts for each in self.before_the_loss)

    # What the replicas see.

    @rule(number=replicas, count=st.integers(1, 3))
    def watch(self, number: int, count: int) -> None:
        replica = self.replicas[number]
        changes = self.history[replica.position : replica.position + count]
        for version, change in enumerate(changes, replica.position + 1):
            if change.row is not None:
                settled, seen_at = replica.index.observe(change.key, change.row), version
            else:
                settled, seen_at = replica.index.forget(change.key, change.uid, version), 0
            replica.view.settle(settled, seen_at=seen_at)
            self.reach(replica, version)

    @rule(number=replicas, lag=st.integers(0, 3))
    def list_all(self, number: int, lag: int) -> None:
        """Skip what was missed."""
        replica, version = self.replicas[number], max(len(self.history) - lag, 0)
        if version < replica.position:
            return
        replica.index.list_started("pods")
        for key, row in self.stored(version).items():
            replica.view.settle(replica.index.observe(key, row), seen_at=row.version)
        replica.view.settle(replica.index.list_finished("pods", version), seen_at=0)
        self.reach(replica, version)

    def reach(self, replica: Replica, version: int) -> None:
        replica.position = version
        replica.index.reached("pods", version)

    @rule(number=replicas, lag=st.integers(0, 3))
    def crash_and_restart(self, number: int, lag: int) -> None:
        """Forget everything; a swap on its way may still be made, and the new list may be stale."""
        swap = self.replicas[number].swap
        if swap is not None:
            self.late.append(swap)
        self.replicas[number] = Replica(f"r{number}", self.tokens)
        self.list_all(number, lag)

    @rule(data=st.data(), number=replicas)
    def expire(self, data: st.DataObject, number: int) -> None:
        """Expire what can no longer be persisted."""
        replica = self.replicas[number]
        expirable = [token for token, each in replica.view.live() if not self.is_alive(each)]
        if expirable:
            token = data.draw(st.sampled_from(expirable))
            replica.view.expire(token, found=self.look_up(replica.view.ledger.reservations[token].key))

    def look_up(self, key: ObjectKey) -> StoredVersion | None:
        found = self.stored().get(key)
        return None if found is None else StoredVersion(found.uid, found.version)

    def is_alive(self, reservation: Reservation) -> bool:
        """Return whether its time is not over: the client may still get an answer, or what was allowed be stored."""
        under_way = [replica.swap.attempt for replica in self.replicas if replica.swap] + [
            each.attempt for each in self.late
        ]
        attempts = [*self.attempts, *(each for each in under_way if each is not None)]
        return any(_may_be(reservation, each.charge) for each in attempts)

    # What must hold.

    def usage(self) -> dict[tuple[Subject, str], Amount]:
        usage: dict[tuple[Subject, str], Amount] = dict.fromkeys(self.hard, 0)
        for key, row in self.stored().items():
            for name, amount in row.amounts:
                for subject in accounts(row.payer, key.namespace):
                    if (subject, name) in usage:
                        usage[subject, name] += amount
        return usage

    @invariant()
    def no_limit_is_exceeded_by_what_is_stored(self) -> None:
        if over := {key: used for key, used in self.usage().items() if used > self.hard[key]}:
            raise ExceededError(over)

    @invariant()
    def whoever_may_decide_counts_whatever_is_stored_or_may_still_be(self) -> None:
        for replica in self.replicas:
            if (
                replica.swap is None
                and replica.copy == self.version
                and self.ledger.is_open
                and not replica.view.unreached_target()
            ):
                self.check_that_all_is_counted(replica.index)

    def check_that_all_is_counted(self, index: UsageIndex) -> None:
        charges = [each.charge for each in self.attempts if each.charge.grows and self.may_persist(each.charge)]
        claims = [(each.key, each.payer, each.amounts) for each in charges]
        for key, payer, costs in [*claims, *((key, row.payer, row.amounts) for key, row in self.stored().items())]:
            for subject in accounts(payer, key.namespace):
                if any(index.held(key, subject, name) < amount for name, amount in costs):
                    raise ForgottenError(key, payer, costs)
        for (subject, name), used in self.usage().items():
            if index.used(subject, name) + index.reserved(subject, name) < used:
                raise ForgottenError(subject, name, used)

    @invariant()
    def one_name_never_fills_the_ledger(self) -> None:
        creates = Counter((each.key, each.payer) for each in self.ledger.reservations.values() if each.base == 0)
        if creates and max(creates.values()) > MOST_PER_NAME:
            raise CrowdedError(creates)

    def teardown(self) -> None:
        """When all has come to rest, exactly what is stored is counted, and the ledger is empty."""
        self.attempts, self.late = [], []
        for number, replica in enumerate(self.replicas):
            if replica.swap is not None:
                self.give_up_a_swap(number)
        self.late = []
        if not self.ledger.is_open:
            self.open_the_ledger_again()
        for _ in range(2):
            for number in REPLICAS:
                self.bring_to_rest(number)
        assert self.ledger.reservations == {}
        for replica in self.replicas:
            assert not replica.view.unreached_target()
            for (subject, name), used in self.usage().items():
                assert (replica.index.used(subject, name), replica.index.reserved(subject, name)) == (used, 0)

    def bring_to_rest(self, number: int) -> None:
        replica = self.replicas[number]
        self.list_all(number, 0)
        self.read(replica)
        for token, reservation in list(replica.view.live()):
            replica.view.expire(token, found=self.look_up(reservation.key))
        self.write_down_what_was_finished(number)


def _may_be(reservation: Reservation, charge: Charge) -> bool:
    if reservation.uid == replica_view.MERGED_UID:
        return charge.base == 0 and charge.key == reservation.key and charge.payer == reservation.payer
    same = (charge.uid, charge.base, charge.payer)
    return (reservation.uid, reservation.base, reservation.payer) == same


ANY_ORDER = settings(
    max_examples=150,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    database=None,
)
SEARCH = settings(ANY_ORDER, max_examples=5000, phases=[Phase.generate], derandomize=True)
"""Tries the same examples in each run: whether it finds something is not left to chance."""


@pytest.fixture(autouse=True)
def few_per_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replica_view, "MOST_PER_NAME", MOST_PER_NAME)


def test_nothing_that_three_replicas_can_do_exceeds_a_limit() -> None:
    run_state_machine_as_test(LedgerMachine, settings=ANY_ORDER)


# Every rule that the promise rests on, switched off: the machine has to notice.


class Impatient(LedgerMachine):
    """Expires reservations while they may still be persisted."""

    def is_alive(self, reservation: Reservation) -> bool:  # noqa: ARG002 - that is what is wrong
        return False


class WithoutCompare(LedgerMachine):
    """Swaps whatever is stored."""

    def swap_is_first(self, swap: Swap) -> bool:  # noqa: ARG002 - that is what is wrong
        return True


class OpensAtOnce(LedgerMachine):
    """Opens a ledger that was lost while what was in flight may still be persisted."""

    def may_open(self) -> bool:
        return True


def _without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ReplicaView, "unreached_target", lambda _: None)


def _without_watermark(monkeypatch: pytest.MonkeyPatch) -> None:
    settle = ReplicaView.settle
    monkeypatch.setattr(
        ReplicaView, "settle", lambda self, settled, *, seen_at: settle(self, settled, seen_at=0 * seen_at)
    )


def _without_base(monkeypatch: pytest.MonkeyPatch) -> None:
    def settle(index: UsageIndex, key: ObjectKey, uid: str, _: int) -> tuple[Reservation, ...]:
        settled = tuple(each for each in index.pending(key) if each.uid == uid)
        index.drop(*settled)
        return settled

    monkeypatch.setattr(UsageIndex, "_settle", settle)


def _without_quorum(monkeypatch: pytest.MonkeyPatch) -> None:
    expire = ReplicaView.expire

    def expire_unseen(self: ReplicaView, token: str, *, found: StoredVersion | None) -> bool:
        return expire(self, token, found=None)

    monkeypatch.setattr(ReplicaView, "expire", expire_unseen)


def _without_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ledger, "opened", lambda self, _: replace(self, is_open=True, settled_through={"pods": 0}))


def _without_merging(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ReplicaView, "_merge", lambda _, __: None)


def _without_anybody_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A merged reservation expires although the object may be one of its creates."""
    expire = ReplicaView.expire

    def expire_merged(self: ReplicaView, token: str, *, found: StoredVersion | None) -> bool:
        is_merged = self.ledger.reservations[token].uid == replica_view.MERGED_UID
        return expire(self, token, found=None if is_merged else found)

    monkeypatch.setattr(ReplicaView, "expire", expire_merged)


WEAKENED: dict[str, tuple[type[LedgerMachine], Callable[[pytest.MonkeyPatch], None]]] = {
    "waiting for the watch": (LedgerMachine, _without_waiting),
    "the watermark": (LedgerMachine, _without_watermark),
    "the base": (LedgerMachine, _without_base),
    "the quorum read": (LedgerMachine, _without_quorum),
    "the time that writes take": (Impatient, lambda _: None),
    "the compare of compare-and-swap": (WithoutCompare, lambda _: None),
    "the time after a loss": (OpensAtOnce, lambda _: None),
    "the newest version after a loss": (LedgerMachine, _without_newest),
    "merging": (LedgerMachine, _without_merging),
    "the watermark of merged creates": (LedgerMachine, _without_anybody_seen),
}


@pytest.mark.slow
@pytest.mark.parametrize(("machine", "weaken"), list(WEAKENED.values()), ids=list(WEAKENED))
def test_without_a_rule_the_machine_finds_what_goes_wrong(
    machine: type[LedgerMachine], weaken: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    weaken(monkeypatch)
    with pytest.raises((ExceededError, ForgottenError, CrowdedError)):
        run_state_machine_as_test(machine, settings=SEARCH)
