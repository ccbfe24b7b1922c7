"""
Any sequence of events and reservations leaves the usage index equal to a count from scratch.

The count follows the docstrings of `usage`, not its implementation: it walks through all objects each time.
Whether what is allowed can ever exceed a limit is checked in `tests/ledger/test_ledger_machine.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec import structs

from tests.fakes import by_payer
from tests.quota.api_story import Api, Change, Event, Story, Verb
from webhook.quota.devices import SHIPPED
from webhook.quota.expected import Expected, PodSet
from webhook.quota.objects import ObjectKey, StoredVersion
from webhook.quota.presets import Labels
from webhook.quota.reservation import Reservation
from webhook.quota.resources import Amount, Amounts
from webhook.quota.subject import CLUSTER, Account, Payer, Subject, group, namespace, tenant, user
from webhook.quota.usage import Row, StaleListError, UsageIndex

RESOURCES = ("pods", "notebooks.kubeflow.org")
KEYS = [
    ObjectKey("pods", "red", "a"),
    ObjectKey("pods", "red", "b"),
    ObjectKey("pods", "blue", "a"),
    ObjectKey(RESOURCES[1], "red", "a"),
    ObjectKey(RESOURCES[1], "red", "b"),
]
LABELS = {
    "a": (("notebook-name", "a"),),
    "b": (("notebook-name", "b"),),
}
"""The pod `a` is one of the notebook `a`, the pod `b` of both."""
PAYERS = [Payer("alice"), Payer("alice", ("ml",)), Payer("bob", ("ml", "staff"))]
NAMES = ("gpu", "pods", "requests.cpu")
SUBJECTS = [
    *(user(name) for name in ("alice", "bob")),
    *(group(name) for name in ("ml", "staff", "today")),
    *(namespace(name) for name in ("red", "blue")),
    tenant("research"),
    CLUSTER,
]

keys = st.sampled_from(KEYS)
resources = st.sampled_from(RESOURCES)
payers = st.sampled_from(PAYERS)
whole = st.integers(1, 4)
shares = st.integers(1, 6).map(lambda slices: Fraction(slices, 7))
amounts = st.fixed_dictionaries({}, optional={"gpu": whole | shares, "pods": st.just(1), "requests.cpu": whole}).map(
    lambda costs: tuple(sorted(costs.items()))
)


@dataclass(frozen=True)
class Binding:
    """The part of a policy that the index depends on: groups with a pool, namespaces of a tenant, today's members."""

    pools: frozenset[str] = frozenset({"ml"})
    research: frozenset[str] = frozenset({"red"})
    today: frozenset[str] = frozenset()

    def __call__(self, payer: Payer, name: str) -> tuple[Subject, ...]:
        pools = [group(each) for each in payer.groups if each in self.pools]
        pools += [group("today")] if payer.owner in self.today else []
        tenants = [tenant("research")] if name in self.research else []
        return (user(payer.owner), *pools, *tenants, namespace(name), CLUSTER)


@dataclass
class Changing:
    """A bind whose subjects of a namespace may change, like those that depend on labels."""

    binding: Binding

    def __call__(self, payer: Payer, name: str) -> tuple[Subject, ...]:
        return self.binding(payer, name)


bindings = st.builds(
    Binding,
    st.frozensets(st.sampled_from(["ml", "staff"])),
    st.frozensets(st.just("red")),
    st.frozensets(st.sampled_from(["alice", "bob"])),
)


def sessions(key: ObjectKey, costs: Amounts) -> tuple[Expected | None, tuple[Labels, ...]]:
    """Notebooks that cost a `pods` wait for pods of twice their cost; what has the name of one is a pod of it."""
    if key.resource == RESOURCES[0]:
        return None, (LABELS["a"],) if key.name == "a" else tuple(LABELS.values())
    twice = tuple((name, 2 * amount) for name, amount in costs)
    return (Expected(twice, (LABELS[key.name],)) if "pods" in dict(costs) else None), ()


class UsageIndexMachine(RuleBasedStateMachine):
    """The API changes; the index receives the events late, twice or in lists; reservations are added and dropped."""

    def __init__(self) -> None:
        super().__init__()
        self.accounts_under = Binding()
        self.bind = Changing(self.accounts_under)
        self.index = UsageIndex(by_payer(self.bind))
        self.api = Api(RESOURCES, sessions)
        self.stories = self.api.stories
        self.rows: dict[ObjectKey, Row] = {}
        self.reservations: dict[tuple[str, int, Payer], Reservation] = {}

    @rule(key=keys, changes=st.lists(st.tuples(st.sampled_from(Verb), payers, amounts), min_size=1, max_size=4))
    def change(self, key: ObjectKey, changes: list[Change]) -> None:
        """Change the API without an event to the index yet."""
        self.api.change(key, changes)

    # Events, and their expected effect.

    def deliver(self, event: Event) -> None:
        """Deliver an event, new or not. After an aborted list the watch may begin before the versions of that list."""
        known = self.rows.get(event.key)
        gone_before = known is not None and known.uid != event.row.uid and not event.counts
        self.apply_event(event, is_new=known is None or event.row.version > known.version or gone_before)

    def apply_event(self, event: Event, *, is_new: bool) -> None:
        key, row = event.key, event.row
        settled = self.index.observe(key, row) if event.counts else self.index.forget(key, row.uid, row.version)
        expected = []
        if is_new:
            expected = self.settle(row.uid, row.version)
            if event.counts:
                self.rows[key] = row
            elif key in self.rows and self.rows[key].uid == row.uid:
                del self.rows[key]
        assert in_order(settled) == in_order(expected)

    def settle(self, uid: str, version: int) -> list[Reservation]:
        settled = [each for each in self.reservations.values() if each.uid == uid and each.base < version]
        for each in settled:
            del self.reservations[each.uid, each.base, each.payer]
        return settled

    @rule(resource=resources, count=st.integers(1, 8), data=st.data())
    def watch(self, resource: str, count: int, data: st.DataObject) -> None:
        """Deliver some events: those of one key in their order, different keys in any order."""
        story = self.stories[resource]
        if story.listing is not None:
            return
        batch = story.events[story.delivered : story.delivered + count]
        order = data.draw(st.permutations(range(len(batch))))
        by_key = {key: iter([event for event in batch if event.key == key]) for key in KEYS}
        for at in order:
            self.deliver(next(by_key[batch[at].key]))
        story.delivered += len(batch)
        self.index.reached(resource, story.position())

    @precondition(lambda self: any(story.delivered and story.listing is None for story in self.stories.values()))
    @rule(resource=resources, data=st.data())
    def deliver_old_events(self, resource: str, data: st.DataObject) -> None:
        story = self.stories[resource]
        if story.delivered and story.listing is None:
            self.apply_event(data.draw(st.sampled_from(story.events[: story.delivered])), is_new=False)
            self.index.reached(resource, data.draw(st.integers(0, story.position())))

    @rule(resource=resources, lag=st.integers(0, 4), count=st.integers(0, 4), data=st.data())
    def start_list(self, resource: str, lag: int, count: int, data: st.DataObject) -> None:
        """Begin a list, current or from a stale cache, with its first page; a list in progress is aborted."""
        story = self.stories[resource]
        story.listed_at = max(len(story.events) - lag, 0)
        story.listing = data.draw(st.permutations(list(story.present(story.listed_at).values())))
        self.index.list_started(resource)
        self.list_page(story, count)

    def list_page(self, story: Story, count: int) -> None:
        for _ in range(count):
            if story.listing:
                self.deliver(story.listing.pop())

    @precondition(lambda self: any(story.listing is not None for story in self.stories.values()))
    @rule()
    def finish_list(self) -> None:
        for resource, story in self.stories.items():
            if story.listing is None:
                continue
            self.list_page(story, len(story.listing))
            story.listing = None
            version = story.events[story.listed_at - 1].row.version if story.listed_at else 0
            if version < story.position():
                with pytest.raises(StaleListError, match=f"the list of {resource} is of version {version}, "):
                    self.index.list_finished(resource, version)
                continue
            settled = self.index.list_finished(resource, version)
            story.delivered = max(story.delivered, story.listed_at)
            shown = {key for key, event in story.present(story.listed_at).items() if event.counts}
            old = [key for key, row in self.rows.items() if key.resource == resource and row.version <= version]
            gone = [key for key in old if key not in shown]
            expected = [each for key in gone for each in self.settle(self.rows[key].uid, version)]
            assert in_order(settled) == in_order(expected)
            for key in gone:
                del self.rows[key]
            self.check_rows_after_list(resource)

    def check_rows_after_list(self, resource: str) -> None:
        story = self.stories[resource]
        present = {
            key: (event.row.uid, event.row.version, event.row.payer)
            for key, event in story.present(story.delivered).items()
            if event.counts
        }
        rows = {
            key: (row.uid, row.version, row.payer)
            for key in KEYS
            if key.resource == resource and (row := self.index.row(key))
        }
        newer = {key: row for key, row in rows.items() if row[1] > story.position()}
        assert rows == present | newer

    @rule(key=keys, costs=amounts, is_current=st.booleans())
    def set_amounts(self, key: ObjectKey, costs: Amounts, is_current: bool) -> None:
        """Change an object's amounts without an event; an object of another version stays unchanged."""
        row = self.rows.get(key)
        uid, version = (row.uid, row.version) if row is not None else ("none", 1)
        self.index.set_amounts(key, StoredVersion(uid, version if is_current else version + 1), costs)
        self.index.set_amounts(key, StoredVersion("another", version), ())
        if row is not None and is_current:
            self.rows[key] = structs.replace(row, amounts=costs)

    # Reservations.

    @rule(key=keys, payer=payers, costs=amounts, data=st.data())
    def reserve(self, key: ObjectKey, payer: Payer, costs: Amounts, data: st.DataObject) -> None:
        """Reserve for an object that exists, existed, or never will."""
        past = [event.row for event in self.stories[key.resource].events if event.key == key]
        uid = data.draw(st.sampled_from([self.api.next_uid(key), f"lost {key}", *(row.uid for row in past)]))
        base = data.draw(st.sampled_from([0, *(row.version for row in past)]))
        attempt = uid, base, payer
        reservation = Reservation(key, uid, base, payer, costs, (), *sessions(key, costs))
        self.index.reserve(reservation)
        known = self.reservations.get(attempt)
        if known is not None:
            waits = [each.expected for each in (reservation, known) if each.expected is not None]
            most = Expected(largest_of(*(each.amounts for each in waits)), waits[0].labels) if waits else None
            reservation = replace(reservation, amounts=largest_of(costs, known.amounts), expected=most)
        self.reservations[attempt] = reservation

    @rule(key=keys, is_current=st.booleans())
    def stop_expecting(self, key: ObjectKey, is_current: bool) -> None:
        """Pods have not come in time."""
        row = self.rows.get(key)
        self.index.expect(key, "another" if row is None or not is_current else row.uid, None)
        if row is not None and is_current:
            self.rows[key] = structs.replace(row, expected=None)

    @precondition(lambda self: self.reservations)
    @rule(data=st.data())
    def drop(self, data: st.DataObject) -> None:
        """Drop one reservation, twice."""
        dropped = self.reservations.pop(data.draw(st.sampled_from(list(self.reservations))))
        self.index.drop(dropped)
        self.index.drop(dropped)

    @rule()
    def crowd(self) -> None:
        """Let the next pair that is not known be one too many: those that are not in use are forgotten then."""
        self.index._charged._prune_above = 0

    @rule(payer=payers, name=st.sampled_from(["red", "blue"]))
    def ask(self, payer: Payer, name: str) -> None:
        """Ask who would pay, as a decision does that is a refusal in the end."""
        assert self.index.subjects_of(Account(payer), name) == self.accounts_under(payer, name)

    @rule(accounts_under=bindings)
    def rebind(self, accounts_under: Binding) -> None:
        self.accounts_under = accounts_under
        self.bind = Changing(accounts_under)
        self.index.rebind(by_payer(self.bind), SHIPPED)

    @rule(research=st.frozensets(st.sampled_from(["red", "blue"])), data=st.data())
    def relabel(self, research: frozenset[str], data: st.DataObject) -> None:
        """Move a namespace into or out of the tenant; the index receives only its name."""
        name = data.draw(st.sampled_from(["red", "blue"]))
        others = self.accounts_under.research - {name}
        self.accounts_under = replace(self.accounts_under, research=others | (research & {name}))
        self.bind.binding = self.accounts_under
        self.index.rebind_namespace(name)

    @rule(today=st.frozensets(st.sampled_from(["alice", "bob"])))
    def join_and_leave(self, today: frozenset[str]) -> None:
        """Change who is in a group today; the index receives only the names of those whose membership changed."""
        changed = self.accounts_under.today ^ today
        self.accounts_under = replace(self.accounts_under, today=today)
        self.bind = Changing(self.accounts_under)
        self.index.rebind_owners(by_payer(self.bind), changed)

    # Invariants.

    def amounts_on(self, key: ObjectKey) -> list[tuple[Payer, Amounts]]:
        row = self.rows.get(key)
        reserved = [(each.payer, each.amounts) for each in self.reservations.values() if each.key == key]
        return reserved if row is None else [(row.payer, row.amounts), *reserved]

    def records(self, key: ObjectKey) -> list[Row | Reservation]:
        row = self.rows.get(key)
        reserved = [each for each in self.reservations.values() if each.key == key]
        return [*reserved, *([] if row is None else [row])]

    def made(self, pod: ObjectKey, owner: str, labels: Iterable[Labels], name: str) -> Amount:
        """Return what *pod* takes of the room of a session whose pods have one of *labels*."""
        of_session = [each for each in self.records(pod) if each.payer.owner == owner]
        costs = [dict(each.amounts).get(name, 0) for each in of_session if not set(labels).isdisjoint(each.part_of)]
        return max(costs, default=0)

    def waits_for(self, key: ObjectKey, subject: Subject, name: str) -> Amount:
        """Return what is held of *subject* for pods of the session *key*."""
        left: list[Amount] = [0]
        for each in self.records(key):
            if each.expected is not None and subject in self.accounts_under(each.payer, key.namespace):
                pods = [other for other in KEYS if other.namespace == key.namespace]
                taken = sum(self.made(pod, each.payer.owner, each.expected.labels, name) for pod in pods)
                left.append(dict(each.expected.amounts).get(name, 0) - taken)
        return max(left)

    def expects(self, key: ObjectKey, owner: str, label: Labels) -> bool:
        waiting = (each for each in self.records(key) if each.expected and each.payer.owner == owner)
        return any(label in each.expected.labels for each in waiting if each.expected)

    def largest(self, key: ObjectKey, subject: Subject, name: str) -> Amount:
        due: list[Amount] = [
            dict(costs).get(name, 0)
            for payer, costs in self.amounts_on(key)
            if subject in self.accounts_under(payer, key.namespace)
        ]
        return max(due, default=0)

    @invariant()
    def every_sum_equals_a_count(self) -> None:
        for subject in SUBJECTS:
            used: dict[str, Amount] = {}
            for key, row in self.rows.items():
                for name, amount in row.amounts if subject in self.accounts_under(row.payer, key.namespace) else ():
                    used[name] = used.get(name, 0) + amount
            assert dict(self.index._used.get(subject, {})) == used
            for name in NAMES:
                held = [self.largest(key, subject, name) + self.waits_for(key, subject, name) for key in KEYS]
                for label in LABELS.values():
                    waiting = [key for key in KEYS if self.expects(key, "alice", label)]
                    room = sum(self.waits_for(key, subject, name) for key in waiting)
                    assert self.index.held_for_pods([PodSet("red", "alice", label)], subject, name) == room
                assert [self.index.held(key, subject, name) for key in KEYS] == held
                assert self.index.used(subject, name) == used.get(name, 0)
                assert self.index.used(subject, name) + self.index.reserved(subject, name) == sum(held)

    @invariant()
    def rows_and_reservations_equal_the_delivered_ones(self) -> None:
        assert {key: row for key in KEYS if (row := self.index.row(key))} == self.rows
        assert in_order(self.index.reservations()) == in_order(self.reservations.values())
        assert self.index.pending_count == len(self.reservations)
        for resource, story in self.stories.items():
            assert self.index.rows(resource) == sum(key.resource == resource for key in self.rows)
            assert self.index.position(resource) == story.position()

    @invariant()
    def every_stored_sum_is_above_zero(self) -> None:
        for sums in (*self.index._used.values(), *self.index._reserved.values()):
            assert sums
            assert all(amount > 0 for amount in sums.values())

    def teardown(self) -> None:
        """Delete all objects and list again: nothing is left. This list also repairs the effects of a stale one."""
        for key in filter(self.api.holder, KEYS):
            self.api.change(key, [(Verb.DELETE, PAYERS[0], ())])
        for resource, story in self.stories.items():
            story.listing, story.listed_at = [], len(story.events)
            self.index.list_started(resource)
        self.finish_list()
        for reservation in list(self.index.reservations()):
            self.index.drop(reservation)
        kept = (self.index._used, self.index._reserved, self.index._pending, self.index._listed)
        assert not any(kept)
        assert not any(self.index._rows.values())
        known = self.index._session_holds
        assert not any((known._costs, known._sets_of_pod, known._holds, known._sessions, known._held))
        super().teardown()


def largest_of(*listed: Amounts) -> Amounts:
    most: dict[str, Amount] = {}
    for amounts_of_one in listed:
        for name, amount in amounts_of_one:
            most[name] = max(amount, most.get(name, 0))
    return tuple(sorted(most.items()))


def in_order(reservations: Iterable[Reservation]) -> list[Reservation]:
    return sorted(reservations, key=lambda each: (each.key, each.uid, each.base, each.payer))


TestUsageIndex = pytest.mark.slow(UsageIndexMachine.TestCase)
TestUsageIndex.settings = settings(max_examples=150, stateful_step_count=40, deadline=None, report_multiple_bugs=False)
