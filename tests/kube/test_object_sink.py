"""How pods that the API shows are counted: for which owner, at what cost, and which are left out."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
import structlog

from tests.calls import counted_calls
from tests.fakes import NOON, by_payer
from tests.quota.bookings import totals
from webhook.kinds.pod_shapes import Pod
from webhook.kinds.pods import PODS
from webhook.kube.object_sink import ObjectSink
from webhook.kube.reflector import Undecodable
from webhook.quota.objects import ObjectKey
from webhook.quota.reservation import CREATED, Reservation
from webhook.quota.resources import Amount
from webhook.quota.subject import NOBODY, Payer, Subject, user
from webhook.quota.usage import StaleListError, UsageIndex

CORE = 10**9
ALICE, BOB, NONE = user("alice"), user("bob"), user(NOBODY.owner)
EXEMPT = frozenset({"kube-system", "userquota-system"})
MIRROR = {"kubernetes.io/config.mirror": "abc"}


def accounts(payer: Payer, _: str) -> tuple[Subject, ...]:
    return (user(payer.owner),)


@dataclass
class Stage:
    """A sink with its usage index, and what it reported."""

    index: UsageIndex = field(default_factory=lambda: UsageIndex(by_payer(accounts)))
    uncountable: int = 0
    settled: list[tuple[str, int]] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    unadmitted: list[str] = field(default_factory=list)
    now: datetime | None = NOON

    def __post_init__(self) -> None:
        self.sink = ObjectSink(
            PODS,
            self.index,
            exempt=EXEMPT,
            now=lambda: self.now,
            on_settled=self._settle,
            on_reached=self._reach,
            on_uncountable=self._note,
            on_unadmitted=lambda key: self.unadmitted.append(key.name),
        )

    def _note(self) -> None:
        self.uncountable += 1

    def _settle(self, reservations: tuple[Reservation, ...], *, seen_at: int) -> None:
        self.settled += [(each.uid, seen_at) for each in reservations]

    def _reach(self) -> None:
        self.positions.append(self.index.position("pods"))

    def cpu(self, subject: Subject = ALICE) -> Amount:
        return self.index.used(subject, "requests.cpu")

    def pods(self, subject: Subject = ALICE) -> Amount:
        return self.index.used(subject, "pods")


@pytest.fixture
def stage() -> Stage:
    return Stage()


def stamp(owner: str) -> dict[str, str]:
    return {"userquota.dev/owner": owner, "userquota.dev/groups": "[]"}


def pod(
    name: str = "pod",
    version: int = 5,
    cpu: str = "1",
    annotations: dict[str, str] | None = None,
    **more: Any,
) -> Pod:
    """Return a pod of alice's, unless *annotations* name another owner."""
    metadata = {
        "name": name,
        "namespace": "red",
        "uid": f"uid-of-{name}",
        "resourceVersion": str(version),
        "annotations": stamp("alice") if annotations is None else annotations,
        **more.pop("metadata", {}),
    }
    spec = {"containers": [{"name": "main", "resources": {"requests": {"cpu": cpu}}}]}
    return msgspec.json.decode(json.dumps({"metadata": metadata, "spec": spec, **more}), type=Pod)


WHOSE: dict[str, tuple[dict[str, str], Subject | None]] = {
    "stamped": (stamp("bob"), BOB),
    "without annotations": ({}, NONE),
    "with annotations of others": ({"example.com/owner": "bob"}, NONE),
    "with half a stamp": ({"userquota.dev/owner": "bob"}, NONE),
    "with a stamp that we cannot have written": ({"userquota.dev/owner": "bob", "userquota.dev/groups": "ml"}, NONE),
    "a mirror pod": (MIRROR, None),
    "a stamped imitation of a mirror pod": (MIRROR | stamp("bob"), BOB),
    "an imitation of a mirror pod with half a stamp": (MIRROR | {"userquota.dev/owner": "bob"}, NONE),
}


@pytest.mark.parametrize(("annotations", "payer"), WHOSE.values(), ids=WHOSE.keys())
def test_a_pod_is_counted_for_the_owner_in_its_stamp(
    stage: Stage, annotations: dict[str, str], payer: Subject | None
) -> None:
    stage.sink.seen(pod(annotations=annotations, cpu="1500m"))

    counted = {subject: stage.cpu(subject) for subject in (ALICE, BOB, NONE) if stage.cpu(subject)}
    assert counted == ({} if payer is None else {payer: 1500 * CORE // 1000})


@pytest.mark.parametrize("namespace", sorted(EXEMPT))
def test_pods_of_exempt_namespaces_are_left_out(stage: Stage, namespace: str) -> None:
    stage.sink.seen(pod(metadata={"namespace": namespace}))
    stage.sink.gone(pod(version=6, metadata={"namespace": namespace}))

    assert stage.index.rows("pods") == 0


@pytest.mark.parametrize("namespace", ["kube-system2", "kube", "Kube-System", "userquota-system.evil", ""])
def test_namespaces_that_only_look_exempt_are_not(stage: Stage, namespace: str) -> None:
    stage.sink.seen(pod(metadata={"namespace": namespace}))

    assert stage.pods() == CORE


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_pod_that_ended_frees_everything_but_its_place_in_storage(stage: Stage, phase: str) -> None:
    stage.sink.seen(pod())
    stage.sink.seen(pod(version=6, status={"phase": phase}))

    assert totals(stage.index, ALICE) == {"count/pods": CORE}


@pytest.mark.parametrize("phase", ["Pending", "Running", "Unknown", "succeeded", ""])
def test_a_pod_that_has_not_ended_costs_everything(stage: Stage, phase: str) -> None:
    stage.sink.seen(pod(status={"phase": phase}, metadata={"deletionTimestamp": "2026-11-01T12:00:00Z"}))

    assert totals(stage.index, ALICE) == {"count/pods": CORE, "pods": CORE, "requests.cpu": CORE}


def test_a_deleted_pod_frees_what_it_cost(stage: Stage) -> None:
    stage.sink.seen(pod())
    stage.sink.gone(pod(version=6))

    assert totals(stage.index, ALICE) == {}


def test_the_deletion_of_an_earlier_pod_of_the_name_frees_nothing(stage: Stage) -> None:
    stage.sink.seen(pod(version=7))
    stage.sink.gone(pod(version=6, metadata={"uid": "an earlier one"}))

    assert stage.pods() == CORE


# A deletion whose grace period is over (`QuotaV1Pod` of Kubernetes): NOON is 12:00:00.

RELEASED = {"count/pods": CORE}
CHARGED = {"count/pods": CORE, "pods": CORE, "requests.cpu": CORE}


def deleted(*, at: str = "2026-11-01T12:00:00Z", grace: object = 30, version: int = 5, **more: Any) -> Pod:
    metadata = {"deletionTimestamp": at, "deletionGracePeriodSeconds": grace}
    return pod(version=version, metadata=metadata, **more)


@pytest.mark.parametrize(
    ("seconds", "costs"), [(29, CHARGED), (30, CHARGED), (31, RELEASED)], ids=["before", "at that second", "after"]
)
def test_a_pod_is_released_without_an_event_once_its_grace_period_is_over(
    stage: Stage, seconds: int, costs: dict[str, int]
) -> None:
    stage.sink.seen(deleted())

    stage.now = NOON + timedelta(seconds=seconds)
    stage.sink.recount()

    assert totals(stage.index, ALICE) == costs


@pytest.mark.parametrize(
    ("metadata", "costs"),
    [
        ({"deletionTimestamp": "2026-11-01T11:59:29Z", "deletionGracePeriodSeconds": 30}, RELEASED),
        ({"deletionTimestamp": "2026-11-01T11:59:59Z", "deletionGracePeriodSeconds": 0}, RELEASED),
        ({"deletionTimestamp": "2026-11-01T11:59:59Z"}, CHARGED),
        ({"deletionTimestamp": None, "deletionGracePeriodSeconds": 0}, CHARGED),
        ({"deletionTimestamp": "2026-11-01T11:59:59Z", "deletionGracePeriodSeconds": 10**15}, CHARGED),
    ],
    ids=["over", "none given", "no grace period", "not deleted", "of millennia"],
)
def test_a_pod_that_is_seen_late_costs_what_it_costs_by_then(
    stage: Stage, metadata: dict[str, object], costs: dict[str, int]
) -> None:
    stage.sink.seen(pod(metadata=metadata))

    assert totals(stage.index, ALICE) == costs


def test_under_hold_a_pod_is_charged_until_it_is_gone(stage: Stage) -> None:
    stage.now = None
    stage.sink.seen(deleted(at="2026-11-01T11:00:00Z"))
    stage.sink.recount()

    assert totals(stage.index, ALICE) == CHARGED


def test_a_later_version_is_released_by_its_own_time(stage: Stage) -> None:
    stage.sink.seen(deleted())
    stage.sink.seen(deleted(grace=300, version=6))

    stage.now = NOON + timedelta(seconds=60)
    stage.sink.recount()
    assert totals(stage.index, ALICE) == CHARGED

    stage.now = NOON + timedelta(seconds=301)
    stage.sink.recount()
    assert totals(stage.index, ALICE) == RELEASED


def test_another_pod_of_the_name_is_not_released_in_its_place(stage: Stage) -> None:
    stage.sink.seen(deleted())
    stage.sink.gone(pod(version=6))
    stage.sink.seen(pod(version=7, metadata={"uid": "another"}))

    stage.now = NOON + timedelta(seconds=60)
    stage.sink.recount()

    assert totals(stage.index, ALICE) == CHARGED


def test_a_policy_that_begins_to_hold_charges_again_what_was_released(stage: Stage) -> None:
    stage.sink.seen(deleted(at="2026-11-01T11:00:00Z"))
    assert totals(stage.index, ALICE) == RELEASED

    stage.now = None
    stage.sink.recount()
    assert totals(stage.index, ALICE) == CHARGED

    stage.now = NOON
    stage.sink.recount()
    assert totals(stage.index, ALICE) == RELEASED


def test_a_clock_that_was_ahead_and_steps_back_is_followed(stage: Stage) -> None:
    stage.sink.seen(deleted())
    for now, costs in ((NOON + timedelta(days=1), RELEASED), (NOON, CHARGED), (NOON + timedelta(days=1), RELEASED)):
        stage.now = now
        stage.sink.recount()
        assert totals(stage.index, ALICE) == costs


def test_what_is_held_for_a_released_pod_stays_right(stage: Stage) -> None:
    stage.sink.seen(deleted())
    larger = (("pods", CORE), ("requests.cpu", 3 * CORE))
    held = Reservation(ObjectKey("pods", "red", "pod"), "uid-of-pod", 5, Payer("alice"), larger)
    stage.index.reserve(held)

    stage.now = NOON + timedelta(seconds=31)
    stage.sink.recount()

    assert (stage.cpu(), stage.index.allocated(ALICE, "requests.cpu")) == (0, 3 * CORE)
    stage.index.drop(held)
    assert stage.index.allocated(ALICE, "requests.cpu") == 0


def list_nothing(stage: Stage) -> None:
    stage.sink.started()
    stage.sink.synced(1000)


GONE: dict[str, Callable[[Stage], None]] = {
    "deleted": lambda stage: stage.sink.gone(pod(version=1000)),
    "replaced": lambda stage: stage.sink.seen(pod(version=1000, metadata={"uid": "another"})),
    "ended": lambda stage: stage.sink.seen(deleted(version=1000, status={"phase": "Failed"})),
    "not readable any more": lambda stage: stage.sink.undecodable(misfit(version="1000")),
    "not in a list": list_nothing,
}


@pytest.mark.parametrize("end", GONE.values(), ids=GONE)
def test_of_a_pod_that_is_being_deleted_one_entry_is_kept_until_it_is_gone(
    stage: Stage, end: Callable[[Stage], None]
) -> None:
    """Anybody may delete a pod with a grace period of years, and change it in a loop."""
    for version in range(5, 105):
        stage.sink.seen(deleted(grace=10**8, version=version))
    assert stage.sink.terminating == 1

    end(stage)

    assert stage.sink.terminating == 0


def test_nothing_is_kept_for_pods_that_are_not_being_deleted(stage: Stage) -> None:
    stage.sink.seen(pod())
    stage.sink.seen(deleted(version=6, grace=None))

    assert stage.sink.terminating == 0


def test_an_older_version_does_not_take_the_place_of_a_newer_one(stage: Stage) -> None:
    stage.sink.seen(deleted(version=6))
    stage.sink.seen(deleted(version=5, at="2026-11-01T11:00:00Z"))
    stage.sink.seen(pod(version=4))
    assert totals(stage.index, ALICE) == CHARGED

    stage.now = NOON + timedelta(seconds=31)
    stage.sink.recount()
    assert totals(stage.index, ALICE) == RELEASED


@pytest.mark.parametrize("field", ["deletionTimestamp", "deletionGracePeriodSeconds"])
def test_a_pod_whose_deletion_cannot_be_read_counts_as_one_and_is_reported(stage: Stage, field: str) -> None:
    metadata = {"deletionTimestamp": "2026-11-01T11:59:59Z", "deletionGracePeriodSeconds": 0, field: "soon"}

    stage.sink.seen(pod(metadata=metadata))

    assert totals(stage.index, ALICE) == {"count/pods": CORE, "pods": CORE}
    assert stage.uncountable == 1


def test_a_resize_is_counted_when_it_is_seen(stage: Stage) -> None:
    stage.sink.seen(pod(cpu="1"))
    stage.sink.seen(pod(version=6, cpu="3"))

    assert (stage.cpu(), stage.pods()) == (3 * CORE, CORE)


def test_an_older_version_changes_nothing(stage: Stage) -> None:
    stage.sink.seen(pod(version=6, cpu="3"))
    stage.sink.seen(pod(version=5, cpu="1"))
    stage.sink.reached(9)
    stage.sink.seen(pod("another", version=9))

    assert (stage.cpu(), stage.pods()) == (3 * CORE, CORE)


def test_a_pod_that_is_seen_settles_what_was_held_for_it(stage: Stage) -> None:
    held = Reservation(
        ObjectKey("pods", "red", "pod"), "uid-of-pod", CREATED, Payer("alice"), (("requests.cpu", CORE),)
    )
    stage.index.reserve(held)

    stage.sink.seen(pod())

    assert list(stage.index.reservations()) == []
    assert stage.cpu() == CORE


def test_a_list_removes_the_pods_that_it_does_not_show(stage: Stage) -> None:
    for name in ("a", "b"):
        stage.sink.seen(pod(name))
    stage.sink.reached(5)

    stage.sink.started()
    stage.sink.seen(pod("b"))
    stage.sink.seen(pod("c"))
    assert stage.pods() == 3 * CORE  # until the list is whole
    stage.sink.synced(8)

    assert stage.pods() == 2 * CORE
    assert stage.index.position("pods") == 8


def test_a_list_older_than_what_was_seen_is_an_error_and_removes_nothing(stage: Stage) -> None:
    stage.sink.seen(pod(version=9))
    stage.sink.reached(9)

    stage.sink.started()
    with pytest.raises(StaleListError):
        stage.sink.synced(8)

    assert stage.pods() == CORE


def test_a_pod_whose_numbers_cannot_be_read_counts_as_one_pod_of_its_owner(stage: Stage) -> None:
    stage.sink.seen(pod(cpu="lots"))

    assert totals(stage.index, ALICE) == {"count/pods": CORE, "pods": CORE}
    assert stage.uncountable == 1


def misfit(name: str = "pod", *, namespace: str = "red", version: str = "5", is_gone: bool = False) -> Undecodable:
    return Undecodable(namespace, name, f"uid-of-{name}", version, "a phase that is a number", is_gone)


def test_a_pod_of_a_shape_that_cannot_be_read_counts_as_one_unattributed_pod(stage: Stage) -> None:
    stage.sink.undecodable(misfit())

    assert totals(stage.index, NONE) == {"count/pods": CORE, "pods": CORE}
    assert stage.uncountable == 1

    stage.sink.undecodable(misfit(version="6", is_gone=True))
    assert totals(stage.index, NONE) == {}
    assert stage.uncountable == 1


def test_an_object_without_a_name_is_only_reported(stage: Stage) -> None:
    stage.sink.undecodable(Undecodable("", "", "", "", "too deep"))

    assert stage.index.rows("pods") == 0
    assert stage.uncountable == 1


def test_a_pod_that_cannot_be_read_in_an_exempt_namespace_is_left_out(stage: Stage) -> None:
    with structlog.testing.capture_logs() as logs:
        stage.sink.undecodable(misfit(namespace="kube-system"))

    assert (stage.index.rows("pods"), stage.uncountable, logs) == (0, 0, [])


def test_an_unadmitted_pod_whose_deletion_cannot_be_read_counts_as_such_no_longer(stage: Stage) -> None:
    stage.sink.seen(pod(annotations={}))
    stage.sink.undecodable(misfit(version="6", is_gone=True))

    assert stage.sink.unadmitted == 0


def test_pods_without_a_stamp_are_unadmitted_and_those_after_the_first_list_are_reported(stage: Stage) -> None:
    stage.sink.started()
    stage.sink.seen(pod("old", annotations={}))
    stage.sink.seen(pod("stamped"))
    stage.sink.synced(8)
    assert (stage.sink.unadmitted, stage.unadmitted) == (1, [])

    stage.sink.seen(pod("new", version=9, annotations={"userquota.dev/owner": "bob"}))
    stage.sink.seen(pod("new", version=10, annotations={"userquota.dev/owner": "bob"}))
    stage.sink.seen(pod("mirror", version=11, annotations=MIRROR))
    stage.sink.seen(pod("exempt", version=12, annotations={}, metadata={"namespace": "kube-system"}))
    assert (stage.sink.unadmitted, stage.unadmitted) == (2, ["new"])
    assert stage.pods(NONE) == 2 * CORE


def test_a_pod_whose_stamp_names_nobody_was_admitted(stage: Stage) -> None:
    stage.sink.started()
    stage.sink.synced(4)
    stage.sink.seen(pod(annotations=stamp(NOBODY.owner)))

    assert (stage.pods(NONE), stage.sink.unadmitted, stage.unadmitted) == (CORE, 0, [])


def test_an_unadmitted_pod_counts_as_such_until_it_ends_or_is_gone(stage: Stage) -> None:
    for name in ("a", "b"):
        stage.sink.seen(pod(name, annotations={}))
    stage.sink.seen(pod("a", version=6, annotations={}, status={"phase": "Succeeded"}))
    assert stage.sink.unadmitted == 1
    stage.sink.gone(pod("b", version=7, annotations={}))
    assert stage.sink.unadmitted == 0


def test_an_unadmitted_pod_that_a_later_list_does_not_show_counts_no_longer(stage: Stage) -> None:
    stage.sink.seen(pod("a", annotations={}))
    stage.sink.started()
    stage.sink.synced(8)

    assert stage.sink.unadmitted == 0


def test_an_object_of_the_first_list_is_counted_once(stage: Stage) -> None:
    """There may be 100 000 of them, and a replica that starts answers nothing until they are counted."""

    def calls(beginning: str) -> int:
        several = [pod(f"{beginning}-{number}", 10) for number in range(200)]
        with counted_calls() as made:
            for each in several:
                stage.sink.seen(each)
        return made.total()

    stage.sink.started()
    listed = calls("listed")
    stage.sink.synced(9)

    assert listed <= 1.1 * calls("later")
