"""What each object holds, as people see it; and that it all comes to what the index counts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis.stateful import invariant

from tests.quota.test_usage_machine import KEYS, SUBJECTS, UsageIndexMachine
from tests.view.scenes import cost, put, reserve, scene
from webhook.quota.expected import Expected
from webhook.quota.objects import ObjectKey
from webhook.quota.quantity import NANOS
from webhook.quota.reservation import CREATED, Reservation
from webhook.quota.resources import Amounts
from webhook.quota.subject import CLUSTER, Payer, Subject, scoped
from webhook.quota.usage import Row
from webhook.view.allocations import Allocation, Allocations, Page, Selection, State, Sum
from webhook.view.label_selector import read_terms
from webhook.view.standings import Scene

ALICE, BOB = Payer("alice", ("ml",)), Payer("bob")
NOTEBOOK = ObjectKey("notebooks.kubeflow.org", "red", "jo")
OF_NOTEBOOK = (("notebook-name", "jo"),)
PLACE = (("sessions", NANOS),)

ALL = Selection()


def page(made: Scene, selection: Selection = ALL, *, limit: int = 100, after: ObjectKey | None = None) -> Page:
    found = Allocations(made, selection, limit=limit, after=after)
    for _ in found.walk(made.usage.holdings()):
        pass
    return found.result()


def told(found: Page) -> list[str]:
    """Return each as `name owner state cpu committed+reserved`."""
    return [
        f"{each.key.name} {each.owner} {each.state.value} {_cpu(each.committed)}+{_cpu(each.reserved)}"
        for each in found.allocations
    ]


def _cpu(amounts: Amounts) -> int:
    return int(dict(amounts).get("requests.cpu", 0) // NANOS)


def update(where: Scene, name: str, payer: Payer, cpu: int, *, uid: str | None = None, base: int = 1) -> Reservation:
    write = Reservation(ObjectKey("pods", "red", name), uid or name, base, payer, cost(cpu))
    where.usage.reserve(write)
    return write


def summed(found: Page) -> dict[str, tuple[object, object]]:
    assert found.sums is not None
    return {each.resource: (each.committed, each.reserved) for each in found.sums}


# One object.


def test_an_object_that_exists_is_used_since_it_was_created() -> None:
    made = scene()
    key, _ = put(made, "a", ALICE, cost(2), created=100)

    assert page(made).allocations == (Allocation(key, "a", "alice", 100, State.USED, cost(2), ()),)


def test_it_names_in_whose_sums_it_counts_and_no_pool_of_nodes() -> None:
    of_h100 = "scopeSelector: {matchExpressions: [{scopeName: NodeClass, operator: In, values: [h100]}]}"
    made = scene(
        "groups: {ml: {pool: {hard: {cpu: 9}}}, free: {perMember: {hard: {cpu: 1}}}}\n"
        "nodeClasses: {h100: {nodes: {matchLabels: {gpu: h100}}}}\n"
        "tenants: {research: {namespaces: {matchLabels: {team: research}}}}\n"
        f"users:\n  alice:\n    scoped: [{{{of_h100}, hard: {{cpu: 3}}}}]\n"
        "commitments: {c: {tenant: research, nodeClass: h100, amounts: {cpu: 8}}}\n"
    )
    [selector] = made.policy.selectors
    key, row = put(made, "a", Payer("alice", ("free", "ml")), scopes=("NodeClass=h100", "Zone"))

    [found] = page(made).allocations
    own = ("user/alice", "group/ml", "tenant/research", "namespace/red", "cluster")
    assert found.charged == (*own, *(scoped(Subject(each), selector) for each in own))
    assert set(made.usage.subjects_of(row.account, key.namespace)) > set(found.charged)


def test_nobody_learns_whose_sums_a_write_of_somebody_else_counts_in() -> None:
    made = scene()
    put(made, "a", ALICE)
    update(made, "a", BOB, 3, uid="another", base=CREATED)

    [hers] = page(made, Selection(owner="alice")).allocations
    assert hers.charged == ("user/alice", "namespace/red", "cluster")
    assert "user/bob" in page(made).allocations[0].charged


def test_one_in_flight_has_no_age_and_nothing_committed() -> None:
    made = scene()
    reserve(made, "a", ALICE, cost(2))

    key = ObjectKey("pods", "red", "a")
    assert page(made).allocations == (Allocation(key, "a", "alice", 0, State.IN_FLIGHT, (), cost(2)),)


def test_one_that_an_update_makes_larger_holds_what_it_adds() -> None:
    made = scene()
    put(made, "a", ALICE, cost(2))
    update(made, "a", ALICE, 5)

    [found] = page(made).allocations
    assert (found.state, found.committed) == (State.GROWING, cost(2))
    assert found.reserved == (("requests.cpu", 3 * NANOS),)


def test_one_that_an_update_makes_smaller_is_used_until_that_is_stored() -> None:
    made = scene()
    put(made, "a", ALICE, cost(5))
    update(made, "a", ALICE, 2)

    assert told(page(made)) == ["a alice used 5+0"]


def test_of_several_writes_on_one_name_the_largest_counts_once() -> None:
    """Two create the same name: one of them fails. Neither uid is that of the object."""
    made = scene()
    reserve(made, "a", ALICE, cost(2))
    update(made, "a", BOB, 3, uid="another", base=CREATED)

    [found] = page(made).allocations
    assert told(page(made)) == ["a alice in flight 0+3"]
    assert (found.uid, found.other_owners) == ("", ("bob",))


def test_another_one_of_the_same_name_is_told_until_it_replaces_the_first() -> None:
    made = scene()
    key, first = put(made, "a", ALICE, cost(2))
    update(made, "a", ALICE, 3, uid="b", base=CREATED)
    assert told(page(made)) == ["a alice another in flight 2+1"]
    assert page(made).allocations[0].uid == "a"

    made.usage.forget(key, "a", first.version + 1)
    assert told(page(made)) == ["a alice in flight 0+3"]
    assert page(made).allocations[0].uid == "b"

    made.usage.observe(key, Row("b", first.version + 2, ALICE, cost(3)))
    assert told(page(made)) == ["a alice used 3+0"]
    assert page(made).allocations[0].uid == "b"


def test_it_goes_when_the_object_is_gone_and_a_second_delete_changes_nothing() -> None:
    made = scene()
    key, row = put(made, "a", ALICE)
    put(made, "b", ALICE)

    for _ in range(2):
        made.usage.forget(key, "a", row.version + 9)
        assert told(page(made)) == ["b alice used 1+0"]
        assert summed(page(made))["pods"] == (NANOS, 0)


def test_what_costs_nothing_is_no_allocation() -> None:
    made = scene()
    put(made, "a", ALICE, ())

    assert page(made) == Page((), (), None)


# Sessions.


def session(made: Scene, cpu: int = 4) -> None:
    expected = Expected(cost(cpu), (OF_NOTEBOOK,))
    made.usage.observe(NOTEBOOK, Row("n", 1, ALICE, PLACE, expected=expected, created=7))


def pod_of_session(made: Scene, cpu: int) -> None:
    row = Row("p", made.usage.position("pods") + 1, ALICE, cost(cpu), part_of=(OF_NOTEBOOK,))
    made.usage.observe(ObjectKey("pods", "red", "jo-0"), row)
    made.usage.reached("pods", row.version)


def test_a_session_holds_room_until_its_pods_come() -> None:
    made = scene()
    session(made)
    assert told(page(made)) == ["jo alice starting 0+4"]
    assert page(made).allocations[0].committed == PLACE

    pod_of_session(made, 1)
    assert told(page(made)) == ["jo alice starting 0+3", "jo-0 alice used 1+0"]

    pod_of_session(made, 4)
    assert told(page(made)) == ["jo alice used 0+0", "jo-0 alice used 4+0"]


def test_a_session_in_flight_holds_room_as_well() -> None:
    made = scene()
    made.usage.reserve(Reservation(NOTEBOOK, "n", CREATED, ALICE, PLACE, (), Expected(cost(4), (OF_NOTEBOOK,))))

    assert told(page(made)) == ["jo alice in flight 0+4"]
    assert summed(page(made)) == {"pods": (0, NANOS), "requests.cpu": (0, 4 * NANOS), "sessions": (0, NANOS)}


def test_the_pods_of_a_session_take_its_room_though_they_are_not_asked_for() -> None:
    made = scene()
    session(made)
    pod_of_session(made, 1)

    found = page(made, Selection(resource=NOTEBOOK.resource))

    assert told(found) == ["jo alice starting 0+3"]
    assert summed(found)["requests.cpu"] == (0, 3 * NANOS)


# Selections.


@pytest.fixture
def filled() -> Scene:
    made = scene(
        "groups: {ml: {pool: {hard: {cpu: 9}}}}\n"
        "tenants: {research: {namespaces: {matchLabels: {team: research}}, hard: {cpu: 9}}}"
    )
    put(made, "a", ALICE)
    put(made, "b", BOB, cost(2))
    put(made, "c", BOB, cost(3), namespace="blue")
    made.usage.observe(ObjectKey("jobs.batch", "blue", "j"), Row("j", 1, BOB, (("count/jobs.batch", NANOS),)))
    return made


SELECTED = {
    "all": (Selection(), ["j", "c", "a", "b"]),
    "a group": (Selection(Subject("group/ml")), ["a"]),
    "a tenant": (Selection(Subject("tenant/research")), ["a", "b"]),
    "a namespace that is charged": (Selection(Subject("namespace/blue")), ["j", "c"]),
    "an owner": (Selection(owner="bob"), ["j", "c", "b"]),
    "a namespace": (Selection(namespace="blue"), ["j", "c"]),
    "a resource": (Selection(resource="pods"), ["c", "a", "b"]),
    "all of them": (Selection(Subject("tenant/research"), "bob", "red", "pods"), ["b"]),
    "nobody": (Selection(owner="carol"), []),
    "the beginning of a name": (Selection(owner="bo", namespace="re", resource="pod"), []),
}


@pytest.mark.parametrize(("selection", "names"), SELECTED.values(), ids=SELECTED.keys())
def test_a_selection_bounds_what_is_told_and_its_sums(filled: Scene, selection: Selection, names: list[str]) -> None:
    found = page(filled, selection)

    assert [each.key.name for each in found.allocations] == names
    assert summed(found).get("requests.cpu", (0, 0))[0] == sum(
        dict(each.committed).get("requests.cpu", 0) for each in found.allocations
    )


def test_of_a_name_that_two_write_each_sees_only_their_own() -> None:
    """The pod is alice's, and an adoption by bob is in flight: both are charged until that is settled."""
    made = scene()
    put(made, "a", ALICE, cost(2))
    update(made, "a", BOB, 2)

    assert told(page(made)) == ["a alice used 2+0"]
    assert page(made).allocations[0].other_owners == ("bob",)
    for own in (Selection(owner="alice"), Selection(Subject("user/alice"))):
        assert told(page(made, own)) == ["a alice used 2+0"]
        assert "bob" not in str(page(made, own))
    for own in (Selection(owner="bob"), Selection(Subject("user/bob"))):
        assert told(page(made, own)) == ["a bob in flight 0+2"]
        assert "alice" not in str(page(made, own))


# Tags.


ML, WEB = (("team", "ml"), ("cost-center", "7")), (("team", "web"),)


def tagged(text: str, *, owner: str = "") -> Selection:
    return Selection(owner=owner, terms=read_terms(text))


def test_an_allocation_has_the_tags_of_the_object_that_exists() -> None:
    made = scene()
    put(made, "a", ALICE, cost(2), tags=ML)
    update(made, "a", ALICE, 5)
    put(made, "b", ALICE)
    reserve(made, "c", ALICE)

    assert [each.tags for each in page(made).allocations] == [ML, (), ()]


TAGGED = {
    "team=ml": ["a", "b"],
    "team!=ml": ["c", "d", "e"],
    "team": ["a", "b", "c"],
    "!team": ["d", "e"],
    "team=ml,cost-center": ["a"],
    "team=other": [],
}


@pytest.mark.parametrize(("text", "names"), TAGGED.items())
def test_tags_select_with_the_sums_of_what_is_selected(text: str, names: list[str]) -> None:
    """What is in flight beyond an object belongs to it; what has not been seen has no tags."""
    made = scene()
    put(made, "a", ALICE, cost(1), tags=ML)
    put(made, "b", BOB, cost(2), tags=ML[:1])
    update(made, "b", BOB, 10, base=made.usage.position("pods"))
    put(made, "c", BOB, cost(3), tags=WEB)
    put(made, "d", BOB, cost(4))
    reserve(made, "e", BOB, cost(5))

    found = page(made, tagged(text))

    assert [each.key.name for each in found.allocations] == names
    both = ([_cpu(each.committed), _cpu(each.reserved)] for each in found.allocations)
    committed, reserved = (sum(each) * NANOS for each in zip(*both, strict=True)) if names else (0, 0)
    assert summed(found).get("requests.cpu", (0, 0)) == (committed, reserved)


def test_tags_select_on_each_page_and_with_an_owner() -> None:
    made = scene()
    for number in range(9):
        put(made, f"p-{number}", (ALICE, BOB)[number % 2], tags=(ML, WEB)[number % 3 == 0])

    first = page(made, tagged("team=ml", owner="alice"), limit=2)
    second = page(made, tagged("team=ml", owner="alice"), limit=2, after=first.rest)

    assert [[each.key.name for each in found.allocations] for found in (first, second)] == [["p-2", "p-4"], ["p-8"]]
    assert summed(first)["pods"] == (3 * NANOS, 0)


@pytest.mark.parametrize(("text", "told_of"), [("team=ml", []), ("!team", ["a bob in flight 0+2"])])
def test_nobody_learns_the_tags_of_an_object_that_is_not_theirs(text: str, told_of: list[str]) -> None:
    """The pod is alice's, and an adoption by bob is in flight."""
    made = scene()
    put(made, "a", ALICE, cost(2), tags=ML)
    update(made, "a", BOB, 2)

    assert told(page(made, tagged(text, owner="bob"))) == told_of
    assert page(made, Selection(owner="bob")).allocations[0].tags == ()


@pytest.mark.parametrize(("text", "cpus"), [("team=ml", 3), ("team!=ml", 0), ("", 3)])
def test_the_room_of_a_session_is_selected_by_the_tags_of_the_session(text: str, cpus: int) -> None:
    made = scene()
    expected = Expected(cost(4), (OF_NOTEBOOK,))
    made.usage.observe(NOTEBOOK, Row("n", 1, ALICE, PLACE, expected=expected, tags=ML))
    pod_of_session(made, 1)

    found = page(made, tagged(text))

    assert summed(found).get("requests.cpu", (0, 0))[1] == cpus * NANOS
    assert ("jo alice starting 0+3" in told(found)) == bool(cpus)


# Pages.


def test_pages_have_everything_once_in_order_and_the_first_has_the_sums() -> None:
    made = scene()
    for number in range(50):
        put(made, f"p-{49 - number:02}", ALICE)
    for number in range(10):
        reserve(made, f"q-{number}", BOB)

    names, after, pages = [], None, 0
    while pages == 0 or after is not None:
        found = page(made, limit=7, after=after)
        assert (found.sums is None) == (pages > 0)
        names += [each.key.name for each in found.allocations]
        after, pages = found.rest, pages + 1

    assert names == [*(f"p-{number:02}" for number in range(50)), *(f"q-{number}" for number in range(10))]
    assert pages == 9
    assert page(made, limit=7).sums == (
        Sum("pods", 50 * NANOS, 10 * NANOS),
        Sum("requests.cpu", 50 * NANOS, 10 * NANOS),
    )


def test_a_page_that_is_just_full_is_the_last() -> None:
    made = scene()
    for name in "abc":
        put(made, name, ALICE)

    assert page(made, limit=3).rest is None
    assert page(made, limit=2).rest == ObjectKey("pods", "red", "b")


def test_what_is_kept_is_bounded_by_the_page() -> None:
    made = scene()
    for number in range(1000):
        put(made, f"p-{999 - number:03}", ALICE)
    found = Allocations(made, Selection(), limit=3)
    most = 0
    for _ in found.walk(made.usage.holdings()):
        most = max(most, len(found._found))

    assert most <= 12
    assert [each.key.name for each in found.result().allocations] == ["p-000", "p-001", "p-002"]


def test_a_session_on_a_later_page_has_its_room() -> None:
    made = scene()
    session(made)
    pod_of_session(made, 1)

    found = page(made, limit=1, after=ObjectKey("jobs.batch", "red", "z"))

    assert told(found) == ["jo alice starting 0+3"]
    assert found.rest == NOTEBOOK


# The law.


class AllocationsMachine(UsageIndexMachine):
    """After any sequence of events and reservations the allocations of a subject come to what is counted for it."""

    @invariant()
    def sums_are_those_of_the_index(self) -> None:
        made = replace(scene(), usage=self.index)
        for subject in SUBJECTS:
            found = page(made, Selection(subject))
            counted = {
                name: (self.index.used(subject, name), self.index.reserved(subject, name))
                for name in self.index.names(subject)
            }
            assert summed(found) == counted
            assert added(found) == counted

    @invariant()
    def those_of_owners_are_those_of_their_subjects(self) -> None:
        made = replace(scene(), usage=self.index)
        for owner in ("alice", "bob"):
            assert page(made, Selection(owner=owner)) == page(made, Selection(Subject(f"user/{owner}")))

    @invariant()
    def pages_are_parts_of_the_whole(self) -> None:
        made = replace(scene(), usage=self.index)
        whole = page(made, Selection(CLUSTER)).allocations
        assert {each.key for each in whole} <= set(KEYS)
        parts: list[Allocation] = []
        after = None
        while True:
            found = page(made, limit=2, after=after)
            parts += found.allocations
            after = found.rest
            if after is None:
                break
        assert tuple(parts) == whole


def added(found: Page) -> dict[str, tuple[object, object]]:
    """Return the sums of what is told of each allocation."""
    sums: dict[str, list[object]] = {}
    for each in found.allocations:
        for column, amounts in enumerate((each.committed, each.reserved)):
            for name, amount in amounts:
                sums.setdefault(name, [0, 0])[column] += amount  # type: ignore[operator]
    return {name: (committed, reserved) for name, (committed, reserved) in sums.items()}


TestAllocations = pytest.mark.slow(AllocationsMachine.TestCase)
TestAllocations.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
