"""Tags of objects that the API shows: of every kind that is charged, as they are now, and without any sum moved."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from tests.calls import counted_calls
from tests.fakes import NOON, by_payer
from webhook.kinds.autoscalers import AUTOSCALERS, AutoscalerEvaluator, autoscaler_kind
from webhook.kinds.claims import PERSISTENT_VOLUME_CLAIMS
from webhook.kinds.counted import counted
from webhook.kinds.evaluator import AnyKind
from webhook.kinds.pods import PODS
from webhook.kinds.registry import KINDS, Registry
from webhook.kinds.resource_claims import RESOURCE_CLAIMS
from webhook.kinds.session_kind import SessionEvaluator, session_kind
from webhook.kube.object_sink import ObjectSink
from webhook.quota.expected import Expected
from webhook.quota.objects import ObjectKey, StoredVersion
from webhook.quota.reservation import CREATED, Reservation
from webhook.quota.subject import Payer, Subject, user
from webhook.quota.tags import Tagging, Tags
from webhook.quota.usage import Row, UsageIndex

KEYS = ("example.com/team", "cost-center")
ALICE = user("alice")
NOTEBOOKS = counted("notebooks.kubeflow.org", "kubeflow.org/v1", "Notebook")


def accounts(payer: Payer, _: str) -> tuple[Subject, ...]:
    return (user(payer.owner),)


def deployments() -> AnyKind:
    (kind,) = Registry(*KINDS).count({"deployments.apps"})
    return kind


KIND: dict[str, AnyKind] = {
    "pods": PODS,
    "claims": PERSISTENT_VOLUME_CLAIMS,
    "device claims": RESOURCE_CLAIMS,
    "a kind with a row that is limited by number": deployments(),
    "a kind that is limited by number alone": counted("services", "v1", "Service"),
    "sessions": session_kind(
        NOTEBOOKS, SessionEvaluator(NOTEBOOKS.count, (), frees_stopped=False, is_session=lambda _: False), ()
    ),
    "autoscalers": autoscaler_kind(
        counted(AUTOSCALERS, "autoscaling/v2", "HorizontalPodAutoscaler"),
        AutoscalerEvaluator(f"count/{AUTOSCALERS}", {}),
    ),
}


class Stage:
    """A sink of a kind over a usage index."""

    def __init__(self, kind: AnyKind = PODS, *keys: str) -> None:
        self.kind = kind
        self.index = UsageIndex(by_payer(accounts))
        self.tagging = Tagging(keys)
        self.settled = 0
        self.sink: ObjectSink[Any] = ObjectSink(
            kind,
            self.index,
            exempt=frozenset(),
            now=lambda: NOON,
            on_settled=self._settle,
            on_reached=lambda: None,
            on_uncountable=lambda: None,
            tagging=self.tagging,
        )

    def _settle(self, reservations: tuple[Reservation, ...], *, seen_at: int) -> None:  # noqa: ARG002
        self.settled += len(reservations)

    def shows(self, version: int, labels: object, *, name: str = "a", cpu: str = "1") -> None:
        self.sink.seen(self.item(version, labels, name=name, cpu=cpu))

    def item(self, version: int, labels: object, *, name: str = "a", cpu: str = "1") -> Any:
        stamp = {"userquota.dev/owner": "alice", "userquota.dev/groups": "[]"}
        meta = {"name": name, "namespace": "red", "uid": name, "resourceVersion": str(version), "annotations": stamp}
        document = {
            "apiVersion": self.kind.api_version,
            "kind": self.kind.kind,
            "metadata": {**meta, "labels": labels},
            "spec": {"containers": [{"name": "main", "resources": {"requests": {"cpu": cpu}}}]},
        }
        return msgspec.json.decode(json.dumps(document), type=self.kind.shape)

    def lists(self, version: int, labels: object) -> None:
        self.sink.started()
        self.shows(version, labels)
        self.sink.synced(version)

    def row(self, name: str = "a") -> Row:
        row = self.index.row(ObjectKey(self.kind.resource, "red", name))
        assert row is not None
        return row

    @property
    def tags(self) -> Tags:
        return self.row().tags


@pytest.mark.parametrize("kind", KIND.values(), ids=KIND)
def test_objects_of_each_charged_kind_have_tags(kind: AnyKind) -> None:
    stage = Stage(kind, *KEYS)

    stage.shows(5, {"cost-center": "7", "app": "x", "example.com/team": "ml"})

    assert stage.tags == (("example.com/team", "ml"), ("cost-center", "7"))


def test_by_default_there_are_none() -> None:
    stage = Stage()
    stage.shows(5, {"cost-center": "7"})
    assert stage.tags == ()


def test_a_changed_label_changes_the_tags_at_the_next_event_and_no_sum() -> None:
    stage = Stage(PODS, *KEYS)
    stage.shows(5, {"cost-center": "7"})
    used = stage.index.used(ALICE, "requests.cpu")

    def calls(version: int, labels: object, cpu: str = "1") -> int:
        item = stage.item(version, labels, cpu=cpu)
        with counted_calls() as made:
            stage.sink.seen(item)
        return made.total()

    same = calls(6, {"cost-center": "7"})
    relabelled = calls(7, {"cost-center": "8"})
    assert (stage.row().version, stage.tags) == (7, (("cost-center", "8"),))
    assert stage.index.used(ALICE, "requests.cpu") == used
    moved = calls(8, {"cost-center": "8"}, "2")
    assert relabelled < same + 20 < moved, "only what costs something else is counted again"
    stage.shows(9, {}, cpu="2")
    assert stage.tags == ()


def test_an_old_event_changes_no_tag() -> None:
    stage = Stage(PODS, *KEYS)
    stage.shows(6, {"cost-center": "8"})
    stage.shows(5, {"cost-center": "7"})
    assert stage.tags == (("cost-center", "8"),)


def test_a_list_that_shows_an_older_version_changes_no_tag() -> None:
    stage = Stage(PODS, "app")
    stage.shows(6, {"cost-center": "8"})
    stage.tagging.read_by(KEYS)

    stage.sink.started()
    stage.shows(5, {"cost-center": "7"})

    assert stage.tags == ()


def test_tags_and_costs_may_change_together_and_an_update_in_flight_is_settled() -> None:
    stage = Stage(PODS, *KEYS)
    stage.shows(5, {"cost-center": "7"})
    key = ObjectKey("pods", "red", "a")
    stage.index.reserve(Reservation(key, "a", 5, Payer("alice"), (("requests.cpu", 2 * 10**9),)))

    stage.shows(6, {"cost-center": "8"}, cpu="2")

    assert (stage.tags, stage.settled) == ((("cost-center", "8"),), 1)
    assert stage.index.allocated(ALICE, "requests.cpu") == 2 * 10**9


def test_what_changes_without_an_event_keeps_the_tags() -> None:
    stage = Stage(PODS, *KEYS)
    stage.shows(5, {"cost-center": "7"})
    key = ObjectKey("pods", "red", "a")

    stage.index.set_amounts(key, StoredVersion("a", 5), ())
    stage.index.expect(key, "a", Expected(()), Payer("bob"))

    assert (stage.row().payer, stage.tags) == (Payer("bob"), (("cost-center", "7"),))


def test_another_policy_reads_them_anew_in_a_list_without_any_sum_moved() -> None:
    stage = Stage(PODS)
    stage.lists(5, {"cost-center": "7", "app": "x"})
    used = stage.index.used(ALICE, "requests.cpu")
    assert (stage.tags, stage.sink.is_tagged) == ((), True)

    stage.tagging.read_by(["app"])
    assert not stage.sink.is_tagged
    stage.lists(5, {"cost-center": "7", "app": "x"})

    assert (stage.tags, stage.sink.is_tagged) == ((("app", "x"),), True)
    assert stage.index.used(ALICE, "requests.cpu") == used
    stage.tagging.read_by([])
    stage.lists(5, {"cost-center": "7", "app": "x"})
    assert stage.tags == ()


def test_other_tags_do_not_make_objects_unknown_to_decisions() -> None:
    """They decide nothing: no create waits for them."""
    stage = Stage(PODS)
    stage.lists(5, {"app": "x"})

    stage.tagging.read_by(["app"])

    assert stage.sink.is_counted


def test_a_list_that_began_under_another_policy_leaves_the_tags_unknown() -> None:
    stage = Stage(PODS, "app")
    assert stage.sink.is_tagged, "before the first list nothing is known at all"
    stage.sink.started()
    stage.tagging.read_by(["cost-center"])
    stage.shows(5, {"app": "x"})
    stage.sink.synced(5)

    assert not stage.sink.is_tagged


def test_a_first_list_that_begins_again_reads_all_tags_by_the_policy_of_then() -> None:
    stage = Stage(PODS, "app")
    stage.sink.started()
    stage.shows(5, {"app": "x", "cost-center": "7"})
    stage.tagging.read_by(["cost-center"])

    stage.lists(5, {"app": "x", "cost-center": "7"})

    assert (stage.tags, stage.sink.is_tagged) == ((("cost-center", "7"),), True)


def test_nothing_is_unknown_of_a_kind_without_objects() -> None:
    """As of one that the API serves no more, which is not listed again."""
    stage = Stage(PODS)
    stage.lists(5, {"app": "x"})
    stage.sink.started()
    stage.sink.synced(6)

    stage.tagging.read_by(["app"])

    assert stage.sink.is_tagged


def test_an_object_made_again_has_its_own_tags() -> None:
    stage = Stage(PODS, *KEYS)
    stage.lists(5, {"cost-center": "7"})
    stage.index.forget(ObjectKey("pods", "red", "a"), "a", 6)
    stage.index.reserve(Reservation(ObjectKey("pods", "red", "a"), "b", CREATED, Payer("alice"), ()))
    stage.shows(7, None)
    assert stage.tags == ()


def test_objects_with_the_same_tags_share_them() -> None:
    stage = Stage(PODS, *KEYS)
    for number, name in enumerate("ab", start=5):
        stage.shows(number, {"cost-center": "7"}, name=name)
    assert stage.row("a").tags is stage.row("b").tags

    for number in range(5000):  # more values than are shared
        stage.shows(10 + number, {"cost-center": f"v{number}"}, name=f"p{number}")
    assert stage.row("p4999").tags == (("cost-center", "v4999"),)
    assert len(stage.index._tags) <= 4097
