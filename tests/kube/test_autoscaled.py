"""What is set aside follows the autoscalers, their workloads and the pods of these, in whatever order they are seen."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from tests.fakes import NOON, by_payer
from tests.quota.bookings import bind
from webhook.kinds.autoscalers import AUTOSCALERS, Autoscaler, AutoscalerEvaluator, autoscaler_kind
from webhook.kinds.counted import counted
from webhook.kinds.pods import PODS
from webhook.kinds.workloads import Workload
from webhook.kube.autoscaled import AutoscaledWorkloads, WorkloadSink
from webhook.kube.object_sink import ObjectSink
from webhook.kube.reflector import Undecodable
from webhook.quota.expected import WORKLOAD
from webhook.quota.objects import ObjectKey
from webhook.quota.quantity import NANOS
from webhook.quota.resources import Amount
from webhook.quota.subject import NOBODY, Payer, Subject, user
from webhook.quota.usage import Row, UsageIndex

ALICE, BOB, NONE = user("alice"), user("bob"), user(NOBODY.owner)
CPU = "requests.cpu"


def ignore(*_: object, **__: object) -> None:
    """Do nothing."""


class Cluster:
    """Sinks of autoscalers and Deployments over one index, in which pods are put as the API would show them."""

    def __init__(self) -> None:
        self.index = UsageIndex(by_payer(bind))
        self.workloads = AutoscaledWorkloads()
        self.evaluator = AutoscalerEvaluator(f"count/{AUTOSCALERS}", self.workloads.known)
        self.evaluator.reserve(is_on=True)
        kind = counted(AUTOSCALERS, "autoscaling/v2", "HorizontalPodAutoscaler")
        self.autoscalers: ObjectSink[Autoscaler] = ObjectSink(
            autoscaler_kind(kind, self.evaluator),
            self.index,
            exempt=frozenset(),
            now=lambda: NOON,
            on_settled=ignore,
            on_reached=ignore,
            on_uncountable=ignore,
            workloads=self.workloads,
        )
        self.workloads.connect(self.autoscalers.look_again)
        self.deployments = WorkloadSink("deployments.apps", self.workloads)
        self.version = 0
        self.autoscalers.started()
        self.autoscalers.synced(0)

    def meta(self, name: str, owner: str | None, **more: Any) -> dict[str, Any]:
        self.version += 1
        stamp = {} if owner is None else {"userquota.dev/owner": owner, "userquota.dev/groups": "[]"}
        known = {"name": name, "namespace": "red", "uid": f"uid-of-{name}", "resourceVersion": str(self.version)}
        return {**known, "annotations": stamp, **more}

    def autoscaler(self, most: int, *, name: str = "hpa", of: str = "web", owner: str | None = None) -> Autoscaler:
        target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": of}
        document = {"metadata": self.meta(name, owner), "spec": {"scaleTargetRef": target, "maxReplicas": most}}
        return msgspec.json.decode(json.dumps(document), type=Autoscaler)

    def deployment(self, cpu: object = 1, *, name: str = "web", owner: str | None = "alice", **meta: Any) -> Workload:
        containers = [{"name": "a", "resources": {"requests": {"cpu": cpu}}}]
        spec = {"template": {"spec": {"containers": containers}}}
        document = {"metadata": self.meta(name, owner, **meta), "spec": spec}
        return msgspec.json.decode(json.dumps(document), type=Workload)

    def has_pod(self, name: str, *, owner: str = "alice", workload: str = "deployments.apps/web") -> None:
        self.version += 1
        labels = (((WORKLOAD, workload),),)
        row = Row(f"uid-of-{name}", self.version, Payer(owner), ((CPU, NANOS),), part_of=labels)
        self.index.observe(ObjectKey(PODS.resource, "red", name), row)

    def reserved(self, subject: Subject = ALICE) -> Amount:
        cores, rest = divmod(self.index.reserved(subject, CPU), NANOS)
        assert not rest
        return cores


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.mark.parametrize("is_autoscaler_first", [True, False])
def test_the_order_in_which_they_are_seen_does_not_matter(cluster: Cluster, *, is_autoscaler_first: bool) -> None:
    autoscaler, deployment = cluster.autoscaler(4), cluster.deployment()
    if is_autoscaler_first:
        cluster.autoscalers.seen(autoscaler)
        assert cluster.reserved() == 0
        cluster.deployments.seen(deployment)
    else:
        cluster.deployments.seen(deployment)
        cluster.autoscalers.seen(autoscaler)
    assert cluster.reserved() == 4
    assert cluster.index.used(ALICE, f"count/{AUTOSCALERS}") == NANOS


def test_pods_of_the_workload_take_it_and_give_it_back(cluster: Cluster) -> None:
    cluster.deployments.seen(cluster.deployment())
    cluster.autoscalers.seen(cluster.autoscaler(2))
    cluster.has_pod("a")
    cluster.has_pod("of-another", workload="deployments.apps/db")
    cluster.has_pod("of-bob", owner="bob")
    assert cluster.reserved() == 1
    cluster.has_pod("b")
    cluster.has_pod("one-more-than-it-may-have")
    assert cluster.reserved() == 0
    cluster.index.forget(ObjectKey(PODS.resource, "red", "a"), "uid-of-a", cluster.version + 1)
    assert cluster.reserved() == 0
    cluster.index.forget(ObjectKey(PODS.resource, "red", "b"), "uid-of-b", cluster.version + 2)
    assert cluster.reserved() == 1


def test_it_follows_the_template_and_the_owner_of_the_workload(cluster: Cluster) -> None:
    cluster.autoscalers.seen(cluster.autoscaler(3, owner="keda"))
    cluster.deployments.seen(cluster.deployment(1))
    cluster.deployments.seen(cluster.deployment(2))
    assert cluster.reserved() == 6
    cluster.deployments.seen(cluster.deployment(2, owner="bob"))
    assert (cluster.reserved(), cluster.reserved(BOB)) == (0, 6)
    assert cluster.index.used(BOB, f"count/{AUTOSCALERS}") == NANOS


def test_a_workload_without_a_known_owner_leaves_it_with_whoever_made_the_autoscaler(cluster: Cluster) -> None:
    cluster.deployments.seen(cluster.deployment(owner=None))
    cluster.autoscalers.seen(cluster.autoscaler(3, owner="bob"))
    assert (cluster.reserved(BOB), cluster.reserved(NONE)) == (3, 0)


def test_another_size_and_another_workload(cluster: Cluster) -> None:
    cluster.deployments.seen(cluster.deployment())
    cluster.deployments.seen(cluster.deployment(2, name="db"))
    cluster.autoscalers.seen(cluster.autoscaler(3))
    cluster.autoscalers.seen(cluster.autoscaler(5))
    assert cluster.reserved() == 5
    cluster.autoscalers.seen(cluster.autoscaler(5, of="db"))
    assert cluster.reserved() == 10
    cluster.deployments.seen(cluster.deployment(9))
    assert cluster.reserved() == 10, "it depends on the other one now"


def test_when_either_is_gone_nothing_is_set_aside(cluster: Cluster) -> None:
    deployment = cluster.deployment()
    cluster.deployments.seen(deployment)
    cluster.autoscalers.seen(cluster.autoscaler(3))
    cluster.deployments.gone(deployment)
    assert cluster.reserved() == 0
    cluster.deployments.seen(deployment)
    assert cluster.reserved() == 3
    cluster.autoscalers.gone(cluster.autoscaler(3))
    assert cluster.reserved() == 0
    cluster.deployments.seen(cluster.deployment(2))
    assert cluster.reserved() == 0


def test_what_a_list_does_not_show_is_gone(cluster: Cluster) -> None:
    cluster.deployments.seen(cluster.deployment())
    cluster.deployments.seen(cluster.deployment(name="db"))
    cluster.autoscalers.seen(cluster.autoscaler(3))
    cluster.deployments.started()
    cluster.deployments.seen(cluster.deployment(name="db"))
    assert cluster.reserved() == 3
    cluster.deployments.synced(cluster.version)
    assert cluster.reserved() == 0

    cluster.deployments.seen(cluster.deployment())
    cluster.autoscalers.started()
    cluster.autoscalers.synced(cluster.version)
    assert cluster.reserved() == 0
    cluster.deployments.seen(cluster.deployment(2))
    assert cluster.reserved() == 0


def test_a_workload_that_cannot_be_counted_has_no_pods(cluster: Cluster) -> None:
    cluster.deployments.seen(cluster.deployment("much"))
    cluster.autoscalers.seen(cluster.autoscaler(3))
    assert cluster.reserved() == 0
    assert cluster.index.used(ALICE, f"count/{AUTOSCALERS}") == NANOS
    cluster.deployments.seen(cluster.deployment())
    cluster.deployments.undecodable(Undecodable("red", "web", "uid-of-web", "9", "?"))
    assert cluster.reserved() == 0


def test_one_with_a_controller_of_its_own_is_left_to_that(cluster: Cluster) -> None:
    above = [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "x", "uid": "x", "controller": True}]
    cluster.deployments.seen(cluster.deployment())
    cluster.autoscalers.seen(cluster.autoscaler(3))
    cluster.deployments.seen(cluster.deployment(ownerReferences=above))
    assert cluster.reserved() == 0
