"""The names of what stored pods ask for and nothing counts are kept as long as such a pod is there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.kube import test_object_sink
from tests.kube.test_object_sink import Stage, misfit
from webhook.kinds.pod_shapes import Pod
from webhook.kube.reflector import Undecodable
from webhook.kube.uncounted import MOST, Uncounted
from webhook.quota.objects import ObjectKey, StoredVersion
from webhook.quota.subject import NOBODY
from webhook.quota.usage import Row

BATCH, MID = "kubernetes.io/batch-cpu", "kubernetes.io/mid-cpu"


@pytest.fixture
def stage() -> Stage:
    return Stage()


def pod(name: str = "pod", *names: str, version: int = 5, **more: Any) -> Pod:
    """Return a pod that asks for *names*."""
    spec = {"containers": [{"name": "main", "resources": {"requests": dict.fromkeys(names, "1")}}]}
    return test_object_sink.pod(name, version, spec=spec, **more)


def shown(stage: Stage) -> list[str]:
    return list(stage.sink.uncounted)


def test_names_are_shown_until_the_last_pod_that_asks_for_them_is_gone(stage: Stage) -> None:
    stage.sink.seen(pod("a", BATCH))
    stage.sink.seen(pod("b", MID, BATCH))
    stage.sink.seen(pod("c", "nvidia.com/gpu", "cpu"))
    assert shown(stage) == [BATCH, MID]

    stage.sink.gone(pod("b", version=6))
    assert shown(stage) == [BATCH]
    stage.sink.gone(pod("a", version=7))
    assert shown(stage) == []


def list_nothing(stage: Stage) -> None:
    stage.sink.started()
    stage.sink.synced(1000)


GONE: dict[str, Callable[[Stage], None]] = {
    "deleted": lambda stage: stage.sink.gone(pod(version=1000)),
    "deleted and not readable": lambda stage: stage.sink.undecodable(misfit(version="1000", is_gone=True)),
    "replaced": lambda stage: stage.sink.seen(pod("pod", "cpu", version=1000, metadata={"uid": "another"})),
    "replaced by one that is not readable": lambda stage: stage.sink.undecodable(
        Undecodable("red", "pod", "another", "1000", "a phase that is a number")
    ),
    "ended": lambda stage: stage.sink.seen(pod("pod", BATCH, version=1000, status={"phase": "Failed"})),
    "without them": lambda stage: stage.sink.seen(pod("pod", "cpu", version=1000)),
    "not in a list": list_nothing,
}


@pytest.mark.parametrize("end", GONE.values(), ids=GONE)
def test_of_a_pod_one_entry_is_kept_until_it_is(stage: Stage, end: Callable[[Stage], None]) -> None:
    for version in range(5, 105):
        stage.sink.seen(pod("pod", BATCH, version=version))
    assert shown(stage) == [BATCH]

    end(stage)

    assert shown(stage) == []


def test_another_pod_of_the_name_has_its_own_names(stage: Stage) -> None:
    stage.sink.seen(pod("pod", BATCH))
    stage.sink.seen(pod("pod", MID, version=6, metadata={"uid": "another"}))
    stage.sink.gone(pod("pod", BATCH, version=7))

    assert shown(stage) == [MID]


def test_an_older_version_changes_nothing(stage: Stage) -> None:
    stage.sink.seen(pod("pod", BATCH, version=7))
    stage.sink.seen(pod("pod", version=6))
    stage.sink.seen(pod("pod", MID, version=5, metadata={"uid": "an earlier one"}))
    assert shown(stage) == [BATCH]

    stage.sink.seen(pod("pod", BATCH, version=9, status={"phase": "Failed"}))
    stage.sink.seen(pod("pod", BATCH, version=8))
    assert shown(stage) == []


def test_a_list_keeps_what_it_shows(stage: Stage) -> None:
    stage.sink.seen(pod("a", BATCH))
    stage.sink.seen(pod("b", MID))
    stage.sink.started()
    stage.sink.seen(pod("a", BATCH))
    assert shown(stage) == [BATCH, MID]  # until the list is whole
    stage.sink.synced(8)

    assert shown(stage) == [BATCH]


@pytest.mark.parametrize(
    "changes",
    [{"namespace": "kube-system"}, {"annotations": test_object_sink.MIRROR}],
    ids=["exempt", "a mirror pod"],
)
def test_pods_that_are_never_counted_are_left_out(stage: Stage, changes: dict[str, Any]) -> None:
    stage.sink.seen(pod("pod", BATCH, metadata=changes))

    assert shown(stage) == []


def test_a_pod_whose_cost_cannot_be_read_is_reported_once_and_does_not_end_the_watch(stage: Stage) -> None:
    stage.sink.seen(test_object_sink.pod(cpu="lots"))

    assert (shown(stage), stage.uncountable) == ([], 1)


def test_anybody_may_invent_names_and_few_are_kept_and_shown(stage: Stage) -> None:
    for number in range(3):
        stage.sink.seen(pod(f"pod-{number}", *(f"kubernetes.io/{number}-{name}" for name in range(1000))))
    assert len(shown(stage)) == MOST
    assert shown(stage) == sorted(shown(stage))

    stage.sink.gone(pod("pod-0", version=6))
    assert len(shown(stage)) == MOST  # those of the others
    for number in (1, 2):
        stage.sink.gone(pod(f"pod-{number}", version=6))
    assert shown(stage) == []


def test_nothing_is_kept_for_other_pods(stage: Stage) -> None:
    uncounted = Uncounted(stage.index)
    for number in range(3):
        key, stored = ObjectKey("pods", "red", f"pod-{number}"), StoredVersion(f"uid-{number}", 5)
        stage.index.observe(key, Row(*stored, NOBODY, ()))
        uncounted.update(key, stored, frozenset([BATCH] if number == 1 else []))

    assert len(uncounted) == 1
