"""Pods as the API shows them, on the book: whose they are, what they cost, and which are left out."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from tests.fakes import NOON
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
    """A sink with its book, and how often it could not count."""

    index: UsageIndex = field(default_factory=lambda: UsageIndex(accounts))
    uncountable: int = 0
    settled: list[tuple[str, int]] = field(default_factory=list)
    news: list[int] = field(default_factory=list)
    unadmitted: list[str] = field(default_factory=list)
    now: datetime | None = NOON

    def __post_init__(self) -> None:
        self.sink = ObjectSink(
            PODS,
            self.index,
            exempt=EXEMPT,
            now=lambda: self.now,
            on_settled=self._settle,
            on_reached=self._progress,
            on_uncountable=self._note,
            on_unadmitted=lambda key: self.unadmitted.append(key.name),
        )

    def _note(self) -> None:
        self.uncountable += 1

    def _settle(self, reservations: tuple[Reservation, ...], *, seen_at: int) -> None:
        self.settled += [(each.uid, seen_at) for each in reservations]

    def _progress(self) -> None:
        self.news.append(self.index.position("pods"))

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
    """Give a pod of alice's, unless *annotations* say otherwise."""
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
def test_a_pod_is_booked_on_the_account_of_its_stamp(
    stage: Stage, annotations: dict[str, str], payer: Subject | None
) -> None:
    stage.sink.seen(pod(annotations=annotations, cpu="1500m"))

    booked = {subject: stage.cpu(subject) for subject in (ALICE, BOB, NONE) if stage.cpu(subject)}
    assert booked == ({} if payer is None else {payer: 1500 * CORE // 1000})


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


def deleted(*, at: str = "2026-11-01T12:00:00Z", grace: object = 30, version: int = 5) -> Pod:
    metadata = {"deletionTimestamp": at, "deletionGracePeriodSeconds": grace}
    return pod(version=version, metadata=metadata)


@pytest.mark.parametrize(
    ("seconds", "costs"), [(29, CHARGED), (30, CHARGED), (31, RELEASED)], ids=["before", "at that second", "after"]
)
def test_a_pod_is_released_without_an_event_once_its_grace_period_is_over(
    stage: Stage, seconds: int, costs: dict[str, int]
) -> None:
    stage.sink.seen(deleted())

    stage.now = NOON + timedelta(seconds=seconds)
    stage.sink.release_due()

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
    stage.sink.release_due()

    assert totals(stage.index, ALICE) == CHARGED


def test_a_later_version_is_released_by_its_own_time(stage: Stage) -> None:
    stage.sink.seen(deleted())
    stage.sink.seen(deleted(grace=300, version=6))

    stage.now = NOON + timedelta(seconds=60)
    stage.sink.release_due()
    assert totals(stage.index, ALICE) == CHARGED

    stage.now = NOON + timedelta(seconds=301)
    stage.sink.release_due()
    assert totals(stage.index, ALICE) == RELEASED


def test_another_pod_of_the_name_is_not_released_in_its_place(stage: Stage) -> None:
    stage.sink.seen(deleted())
    stage.sink.gone(pod(version=6))
    stage.sink.seen(pod(version=7, metadata={"uid": "another"}))

    stage.now = NOON + timedelta(seconds=60)
    stage.sink.release_due()

    assert totals(stage.index, ALICE) == CHARGED


@pytest.mark.parametrize("field", ["deletionTimestamp", "deletionGracePeriodSeconds"])
def test_a_pod_whose_deletion_cannot_be_read_counts_as_one_and_is_reported(stage: Stage, field: str) -> None:
    metadata = {"deletionTimestamp": "2026-11-01T11:59:59Z", "deletionGracePeriodSeconds": 0, field: "soon"}

    stage.sink.seen(pod(metadata=metadata))

    assert totals(stage.index, ALICE) == {"count/pods": CORE, "pods": CORE}
    assert stage.uncountable == 1


def test_a_resize_is_booked_when_it_is_seen(stage: Stage) -> None:
    stage.sink.seen(pod(cpu="1"))
    stage.sink.seen(pod(version=6, cpu="3"))

    assert (stage.cpu(), stage.pods()) == (3 * CORE, CORE)


def test_old_news_changes_nothing(stage: Stage) -> None:
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


def test_a_list_takes_what_it_does_not_show_off_the_book(stage: Stage) -> None:
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


def test_a_list_older_than_what_was_seen_is_an_error_and_takes_nothing_off(stage: Stage) -> None:
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


def test_a_pod_of_a_shape_that_cannot_be_read_counts_as_one_pod_of_nobodys(stage: Stage) -> None:
    stage.sink.undecodable(misfit())

    assert totals(stage.index, NONE) == {"count/pods": CORE, "pods": CORE}
    assert stage.uncountable == 1

    stage.sink.undecodable(misfit(version="6", is_gone=True))
    assert totals(stage.index, NONE) == {}


def test_an_object_that_has_not_even_a_name_is_only_told(stage: Stage) -> None:
    stage.sink.undecodable(Undecodable("", "", "", "", "too deep"))

    assert stage.index.rows("pods") == 0
    assert stage.uncountable == 1


def test_a_pod_that_cannot_be_read_in_an_exempt_namespace_is_left_out(stage: Stage) -> None:
    stage.sink.undecodable(misfit(namespace="kube-system"))

    assert stage.index.rows("pods") == 0


def test_pods_without_a_stamp_are_unadmitted_and_those_that_appear_after_the_first_list_are_told(stage: Stage) -> None:
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


def test_a_pod_that_nobody_pays_for_by_its_stamp_was_admitted(stage: Stage) -> None:
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
