"""Autoscalers in the request path: whose they are, and whether what they may add fits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.admission.asking import Json, Webhook, a_review, pod
from webhook.kinds.autoscalers import AUTOSCALERS, AutoscalerEvaluator, autoscaler_kind
from webhook.kinds.counted import counted
from webhook.kinds.pods import PODS, PodEvaluator
from webhook.kinds.registry import KINDS, Registry
from webhook.quota.quantity import NANOS
from webhook.quota.subject import NOBODY, user

POLICY = "version: 1\nreserve: [autoscalers]\ndefaults: {user: {hard: {cpu: 4}}}\n"
ALICE, BOB = user("alice"), user("bob")


def webhook(policy: str = POLICY, *, owner: str | None = "alice", cpu: str = "1") -> Webhook:
    """Return one beside a Deployment `web` of *owner*, whose pods ask for *cpu* each."""
    evaluator = AutoscalerEvaluator(f"count/{AUTOSCALERS}", {})
    evaluator.reserve(is_on="reserve" in policy)
    pods = PodEvaluator()
    pods.name_workloads(is_on=True)
    kinds = Registry(*(replace(each, evaluator=pods) if each is PODS else each for each in KINDS))
    kinds.add(autoscaler_kind(counted(AUTOSCALERS, "autoscaling/v2", "HorizontalPodAutoscaler"), evaluator))
    asked = Webhook(policy, kinds=kinds)
    asked.owners.put("Deployment", "web", owner=owner)
    containers = [{"name": "a", "resources": {"requests": {"cpu": cpu}}}]
    asked.owners.specs["web"] = {
        "selector": {"matchLabels": {"app": "web"}},
        "template": {"spec": {"containers": containers}},
    }
    return asked


def autoscaler(most: int, *, of: str = "web", kind: str = "Deployment", **meta: Any) -> Json:
    target = {"apiVersion": "apps/v1", "kind": kind, "name": of}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "hpa", "namespace": "red", "uid": "hpa", "resourceVersion": "5", **meta},
        "spec": {"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": most},
    }


def created(most: int, *, by: str = "alice", dry: bool = False, of: str = "web", kind: str = "Deployment") -> Json:
    return a_review(AUTOSCALERS, user=by, object=autoscaler(most, of=of, kind=kind), name="hpa", dryRun=dry)


def changed(old: Json, new: Json, *, by: str = "alice") -> Json:
    return a_review(AUTOSCALERS, "UPDATE", user=by, object=new, oldObject=old, name="hpa")


def of_web(name: str, **metadata: Any) -> Json:
    reference = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-7c9", "uid": "rs", "controller": True}
    labels = {"app": "web", "pod-template-hash": "7c9"}
    return pod(name, labels=labels, ownerReferences=[reference], **metadata)


async def test_what_fits_is_held_until_it_is_seen() -> None:
    asked = webhook()
    assert (await asked.ask(created(4))).allowed
    assert asked.index.reserved(ALICE, "requests.cpu") == 4 * NANOS
    refused = await asked.ask(a_review(object=pod("other", uid="p"), name="other"))
    assert "reserved: requests.cpu=4" in refused.message


async def test_what_does_not_fit_is_refused_with_the_most_that_would() -> None:
    refused = await webhook(cpu="1500m").ask(created(3))
    assert refused.message.startswith("larger than quota: defaults.user, requested: requests.cpu=4500m")
    assert "would fit: requests.cpu=4" in refused.message


async def test_a_dry_run_holds_nothing() -> None:
    asked = webhook()
    assert (await asked.ask(created(4, dry=True))).allowed
    assert not (await asked.ask(created(5, dry=True))).allowed
    assert asked.index.reserved(ALICE, "requests.cpu") == 0


async def test_pods_that_run_are_among_what_it_may_have() -> None:
    asked = webhook()
    asked.shows("web-7c9-x", {"requests.cpu": 3 * NANOS})
    assert not (await asked.ask(created(4))).allowed, "it is not known as one of these"
    asked.pods.asked.clear()
    asked.pods.found = ["web-7c9-x"]
    assert (await asked.ask(created(4))).allowed
    assert asked.pods.asked == [("red", "uid-of-web", {"matchLabels": {"app": "web"}})]


async def test_the_owner_of_the_workload_pays() -> None:
    asked = webhook(owner="bob")
    answer = await asked.ask(created(4))
    assert answer.stamp["userquota.dev/owner"] == "bob"
    assert asked.index.reserved(BOB, "requests.cpu") == 4 * NANOS
    assert asked.index.reserved(ALICE, "requests.cpu") == 0
    assert (
        "charged to bob (pays for the workload that it scales)" in (await webhook(owner="bob").ask(created(9))).message
    )


@pytest.mark.parametrize(("of", "kind"), [("gone", "Deployment"), ("web", "Rollout")])
async def test_of_what_is_not_there_or_not_known_nothing_is_set_aside(of: str, kind: str) -> None:
    asked = webhook()
    answer = await asked.ask(created(99, by="bob", of=of, kind=kind))
    assert answer.allowed
    assert answer.stamp["userquota.dev/owner"] == "bob"
    assert asked.index.reserved(BOB, "requests.cpu") == 0


async def test_a_workload_of_nobody_is_paid_by_whoever_makes_the_autoscaler() -> None:
    answer = await webhook(owner=NOBODY.owner).ask(created(4, by="bob"))
    assert answer.stamp["userquota.dev/owner"] == "bob"


async def test_only_more_than_before_is_judged() -> None:
    asked = webhook(cpu="2")
    assert (await asked.ask(changed(autoscaler(9), autoscaler(9, labels={"a": "b"})))).allowed
    assert (await asked.ask(changed(autoscaler(9), autoscaler(8)))).allowed
    refused = await asked.ask(changed(autoscaler(1), autoscaler(9), by="somebody-else"))
    assert "requested: requests.cpu=18" in refused.message
    assert "charged to alice" in refused.message


async def test_without_reserve_it_is_an_object_like_any_other() -> None:
    asked = webhook(POLICY.replace("reserve: [autoscalers]\n", ""), owner="bob")
    answer = await asked.ask(created(99))
    assert answer.allowed
    assert answer.stamp["userquota.dev/owner"] == "alice"


async def test_while_the_workload_cannot_be_read_nothing_is_decided() -> None:
    asked = webhook()
    asked.owners.trouble = "no answer"
    with pytest.raises(Exception, match="no answer"):
        await asked.ask(created(1))


async def test_a_pod_of_the_workload_takes_what_is_set_aside_and_no_other_does() -> None:
    asked = webhook()
    asked.owners.put("ReplicaSet", "web-7c9", uid="rs", owner="alice")
    assert (await asked.ask(created(4))).allowed
    maker = "system:serviceaccount:kube-system:replicaset-controller"
    for number in range(4):
        name = f"web-7c9-{number}"
        review = a_review(user=maker, object=of_web(name, uid=name), name=name)
        assert (await asked.ask(review)).allowed, number
    assert asked.index.reserved(ALICE, "requests.cpu") == 4 * NANOS
    last = a_review(user=maker, object=of_web("web-7c9-5", uid="5"), name="web-7c9-5")
    assert not (await asked.ask(last)).allowed
