"""Manifests are judged by the code of the webhook, beside what was saved from a cluster."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import product
from typing import Any

import pytest

from tests.admission.asking import stamped
from webhook.admission.manifests import Author, Check
from webhook.documents.object_text import RawObject, read_objects
from webhook.documents.policy_text import PolicyText, read_policy
from webhook.quota.errors import WebhookError
from webhook.quota.objects import UserInfo
from webhook.quota.resources import show_list
from webhook.wiring.manifest_check import check

Json = dict[str, Any]
NOW = datetime(2026, 11, 1, tzinfo=UTC)
NO_MORE = "it makes no pods now, and needs no more than it has"
POLICY = "version: 1\ndefaults: {user: {hard: {pods: 4, cpu: 4}}}\n"


UNUSABLE: list[tuple[Json, str]] = [
    ({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}}, "Pod p has no uid or resourceVersion: "),
    ({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n", "labels": {"a": 1}}}, "Namespace n: Expected"),
]


def raw(documents: Sequence[Json]) -> list[RawObject]:
    objects, mistakes = read_objects("\n".join(map(json.dumps, documents)), source="all.json")
    assert mistakes == ()
    return list(objects)


async def checked(policy: str, *documents: Json, saved: Sequence[Json] = (), namespace: str = "red") -> Check:
    reading = read_policy([PolicyText("policy.yaml", policy)])
    assert reading.policy is not None, reading.mistakes
    author = Author(UserInfo("alice", ("ml",)), namespace)
    return await check(raw(documents), author, reading.policy, raw(saved), NOW)


def verdicts(came: Check) -> list[str]:
    return [
        each.unjudged or each.free if each.verdict is None else "fits" if each.verdict.fits else "does not fit"
        for each in came.objects
    ]


def template(cpu: str = "1") -> Json:
    return {
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "main", "resources": {"requests": {"cpu": cpu}}}]},
    }


def pod(name: str, cpu: str = "1", **metadata: Any) -> Json:
    meta = {"name": name, "namespace": "red", **metadata}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": template(cpu)["spec"]}


def deployment(replicas: int | None, cpu: str = "1", **metadata: Any) -> Json:
    spec = {"replicas": replicas, "template": template(cpu), "selector": {"matchLabels": {"app": "web"}}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "red", **metadata},
        "spec": {name: value for name, value in spec.items() if value is not None},
    }


def owned(by: str, uid: str) -> list[Json]:
    return [{"apiVersion": "apps/v1", "kind": by, "name": uid, "uid": uid, "controller": True}]


def saved_web(replicas: int) -> list[Json]:
    """Return a Deployment of alice as it was saved, with its ReplicaSet and its pods."""
    template_stored = template()
    template_stored["spec"]["containers"][0]["imagePullPolicy"] = "Always"
    web = deployment(replicas, uid="uid-web", resourceVersion="7")
    web["spec"]["template"] = template_stored
    web["spec"]["strategy"] = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    made = {
        "namespace": "red",
        "name": "web-1",
        "uid": "uid-rs",
        "resourceVersion": "8",
        "ownerReferences": owned("Deployment", "uid-web"),
    }
    replica_set = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": made, "spec": {}}
    pods = [
        pod(f"web-{n}", uid=f"uid-{n}", resourceVersion="9", ownerReferences=owned("ReplicaSet", "uid-rs"))
        for n in range(replicas)
    ]
    return [stamped(each) if each["kind"] != "ReplicaSet" else each for each in (web, replica_set, *pods)]


async def test_what_was_saved_is_used() -> None:
    came = await checked(POLICY, pod("new", "2"), pod("newer", "1"), saved=saved_web(2))
    assert verdicts(came) == ["fits", "does not fit"]


UPDATES: dict[str, tuple[Json, str, str]] = {
    "as it is": (deployment(3), NO_MORE, ""),
    "one more": (deployment(4), "fits", "count/pods=1,pods=1,requests.cpu=1"),
    "two more": (deployment(5), "does not fit", "count/pods=2,pods=2,requests.cpu=2"),
    "as many larger ones": (deployment(3, cpu="2"), "does not fit", "requests.cpu=3"),
    "it says no number": (deployment(None), NO_MORE, ""),
    "fewer": (deployment(1), NO_MORE, ""),
}


@pytest.mark.parametrize(("new", "expected", "adds"), UPDATES.values(), ids=UPDATES.keys())
async def test_what_exists_is_replaced_and_counts_once(new: Json, expected: str, adds: str) -> None:
    came = await checked(POLICY, new, saved=saved_web(3))
    [verdict] = [each.verdict for each in came.objects]
    assert verdicts(came) == [expected]
    assert (show_list(verdict.adds) if verdict is not None else "") == adds
    assert came.notes == ()


async def test_a_rollout_without_room_for_one_more_pod_does_not_fit() -> None:
    new = deployment(4)
    new["spec"]["template"]["spec"]["containers"][0]["image"] = "example/new"
    assert verdicts(await checked(POLICY, new, saved=saved_web(4))) == ["does not fit"]
    assert verdicts(await checked(POLICY.replace("4", "5"), new, saved=saved_web(4))) == ["fits"]


async def test_a_rollout_that_a_limit_only_warns_of_goes_on() -> None:
    new = deployment(4)
    new["spec"]["template"]["spec"]["containers"][0]["image"] = "example/new"
    came = await checked(POLICY.replace("hard", "mode: warn, hard"), new, saved=saved_web(4))
    assert verdicts(came) == ["fits"]
    [verdict] = [each.verdict for each in came.objects]
    assert verdict is not None
    assert any(each.startswith("the rolling update needs 1 more pod than is free: ") for each in verdict.notes)


LACKING = {
    "nothing declared": (
        "missing: {memory: require}\ndefaults: {user: {hard: {memory: 4Gi, pods: 4}}}\n",
        "must specify",
    ),
    "below a minimum": ("defaults: {user: {hard: {pods: 4}, minPerPod: {cpu: 2}}}\n", "below minimum: "),
}


@pytest.mark.parametrize(("policy", "said"), LACKING.values(), ids=LACKING.keys())
async def test_a_workload_whose_pods_are_refused_for_more_than_room(policy: str, said: str) -> None:
    came = await checked(f"version: 1\n{policy}", deployment(4), pod("p", cpu="2"))
    [verdict, _] = [each.verdict for each in came.objects]
    assert verdict is not None
    [refusal] = verdict.refusals
    assert said in refusal
    assert "; would fit: 0 of 4 replicas; " in refusal
    assert verdict.notes == ()
    assert [each.taken for each in came.left if each.limit.resource == "pods"] == [10**9 if "minimum" in said else 0]


async def test_replica_sets_that_were_not_saved_are_told_of() -> None:
    saved = [each for each in saved_web(1) if each["kind"] != "ReplicaSet"]
    assert [note[:15] for note in (await checked(POLICY, deployment(1), saved=saved)).notes] == ["ReplicaSets wer"]


async def test_a_claim_that_grows() -> None:
    def claim(size: str, **metadata: Any) -> Json:
        meta = {"name": "data", "namespace": "red", **metadata}
        spec = {"resources": {"requests": {"storage": size}}}
        return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": spec}

    policy = "version: 1\ndefaults: {user: {hard: {storage: 10Gi}}}\n"
    saved = [stamped(claim("8Gi", uid="u", resourceVersion="3"))]
    assert verdicts(await checked(policy, claim("10Gi"), saved=saved)) == ["fits"]
    assert verdicts(await checked(policy, claim("11Gi"), saved=saved)) == ["does not fit"]


async def test_namespaces_of_the_manifests_belong_to_tenants() -> None:
    policy = "version: 1\ntenants: {t: {namespaces: {matchLabels: {team: t}}, hard: {pods: 0}}}\n"
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "red", "labels": {"team": "t"}}}
    came = await checked(policy, pod("p"), namespace)
    assert verdicts(came) == ["does not fit", "the policy does not count namespaces"]
    assert (came.notes, (await checked(policy, pod("p"))).notes) == (
        (),
        ("namespace red is not known: it is taken for one without labels",),
    )


FREE: dict[str, tuple[Json, str]] = {
    "a kind of Kubernetes": ({"apiVersion": "v1", "kind": "ConfigMap"}, "the policy does not count configmaps"),
    "a kind that nobody knows": (
        {"apiVersion": "example.com/v1", "kind": "Widget"},
        "the policy does not count widgets.example.com",
    ),
    "an exempt namespace": (
        pod("p", namespace="kube-system"),
        "userquota is not asked in namespace kube-system",
    ),
    "no pods": (deployment(0), NO_MORE),
}


@pytest.mark.parametrize(("document", "why"), FREE.values(), ids=FREE.keys())
async def test_why_an_object_costs_nothing(document: Json, why: str) -> None:
    document = {"metadata": {"name": "x"}, **document}
    assert verdicts(await checked(POLICY, document)) == [why]


UNKNOWN = ("userquota does not know this kind, nor the pods that are made for it",)
KNOWN: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "of others": ("example.com/v1", "Widget", UNKNOWN),
    "of others, with a name of Kubernetes": ("example.com/v1", "Pod", UNKNOWN),
    "in the wrong group": ("v1", "Deployment", UNKNOWN),
    "without cost": ("v1", "Service", ()),
    "in a group": ("policy/v1", "PodDisruptionBudget", ()),
    "in a group of Kubernetes": ("networking.k8s.io/v1", "Ingress", ()),
}


@pytest.mark.parametrize(("api_version", "kind", "notes"), KNOWN.values(), ids=KNOWN.keys())
async def test_a_kind_that_nobody_knows_is_noted(api_version: str, kind: str, notes: tuple[str, ...]) -> None:
    came = await checked(POLICY, {"apiVersion": api_version, "kind": kind, "metadata": {"name": "x"}})
    assert [each.notes for each in came.objects] == [notes]


async def test_a_kind_that_the_policy_counts() -> None:
    policy = "version: 1\ndefaults: {user: {hard: {count/widgets.example.com: 1}}}\n"
    widgets = [{"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"generateName": "w-"}}] * 2
    assert verdicts(await checked(policy, *widgets)) == ["fits", "does not fit"]


async def test_an_object_that_cannot_be_read_has_no_verdict_and_the_others_have() -> None:
    broken = deployment(1)
    broken["spec"]["replicas"] = "two"
    came = await checked(POLICY, broken, pod("p"))
    assert verdicts(came) == ["Expected `int | null`, got `str` - at `$.spec.replicas`", "fits"]


@pytest.mark.parametrize(
    "metadata",
    [{"labels": {"a": 1}}, {"annotations": ["a"]}, {"ownerReferences": 1}, {"name": "p", "labels": 7}],
)
async def test_metadata_that_cannot_be_read(metadata: Json) -> None:
    broken = {**pod("p"), "metadata": {"name": "p", **metadata}}
    [said] = verdicts(await checked(POLICY, broken))
    assert "$.metadata" in said


@pytest.mark.parametrize(("saved", "said"), UNUSABLE)
async def test_what_was_saved_by_hand_or_cannot_be_read_has_a_place(saved: Json, said: str) -> None:
    with pytest.raises(WebhookError) as raised:
        await checked(POLICY, pod("p"), saved=[saved])
    assert str(raised.value).startswith(f"all.json:1: {said}")


SESSIONS = """\
version: 1
sessions: {presets: [kubeflow-notebook]}
defaults: {user: {hard: {sessions: 3, cpu: 4}, perSession: {cpu: 3}}}
"""


def notebook(name: str, cpu: str) -> Json:
    spec = {"template": {"spec": template(cpu)["spec"]}}
    return {"apiVersion": "kubeflow.org/v1", "kind": "Notebook", "metadata": {"name": name}, "spec": spec}


async def test_the_pods_of_a_session_are_held_for() -> None:
    came = await checked(SESSIONS, notebook("a", "3"), notebook("b", "2"), pod("p", "1"))
    assert verdicts(came) == ["fits", "does not fit", "fits"]
    first = came.objects[0].verdict
    assert first is not None
    assert dict(first.adds)["requests.cpu"] == 3 * 10**9
    assert [(each.limit.entry, each.limit.resource) for each in first.rooms] == [
        ("defaults.user.perSession", "requests.cpu"),
        ("defaults.user", "sessions"),
        ("defaults.user", "requests.cpu"),
    ]


async def test_what_is_left_open_is_told() -> None:
    daemon_set = {**deployment(None), "kind": "DaemonSet"}
    cron = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "c"},
        "spec": {"jobTemplate": {"spec": {"template": template()}}},
    }
    came = await checked(POLICY, daemon_set, cron)
    assert [each.notes for each in came.objects] == [
        ("it makes a pod on each node: 1 judged",),
        ("its pods are made by a schedule: only what can never fit is told",),
    ]


DEVICES = "version: 1\ndefaults: {user: {hard: {big.example.com.deviceclass.resource.k8s.io/devices: 4}}}\n"


def devices(kind: str, name: str, count: int, **metadata: Any) -> Json:
    requests = {
        "devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": "big.example.com", "count": count}}]}
    }
    spec = {"spec": requests} if kind == "ResourceClaimTemplate" else requests
    meta = {"name": name, "namespace": "red", **metadata}
    return {"apiVersion": "resource.k8s.io/v1", "kind": kind, "metadata": meta, "spec": spec}


def claiming(replicas: int, **metadata: Any) -> Json:
    made = deployment(replicas, **metadata)
    made["spec"]["template"]["spec"]["resourceClaims"] = [{"name": "c", "resourceClaimTemplateName": "two"}]
    return made


async def test_the_claims_of_pods_count_by_templates_among_the_manifests_and_those_saved() -> None:
    two = devices("ResourceClaimTemplate", "two", 2)
    for manifests, saved in (([two], []), ([], [two])):
        came = await checked(DEVICES, *manifests, claiming(2), devices("ResourceClaim", "one", 1), saved=saved)
        assert verdicts(came)[-2:] == ["fits", "does not fit"]
        came = await checked(DEVICES, *manifests, claiming(3), devices("ResourceClaim", "one", 1), saved=saved)
        assert verdicts(came)[-2:] == ["does not fit", "does not fit"]


async def test_without_the_template_that_is_what_refuses() -> None:
    came = await checked(DEVICES, claiming(1))
    assert verdicts(came) == ["does not fit"]
    assert came.objects[0].verdict is not None
    assert came.objects[0].verdict.refusals[0].endswith("there is no ResourceClaimTemplate two")


@pytest.mark.parametrize("number", [1, 2])
async def test_claims_that_were_saved_are_those_of_their_pods(number: int) -> None:
    """Each of two pods has one claim, or two, for two devices each."""
    claims = [{"name": f"c{each}", "resourceClaimTemplateName": "two"} for each in range(number)]
    saved, web, three = saved_web(2), deployment(2), deployment(3)
    for each in (saved[0], web, three):
        each["spec"]["template"]["spec"]["resourceClaims"] = claims
    for n, claim in product(range(2), claims):
        owner = [{"apiVersion": "v1", "kind": "Pod", "name": f"web-{n}", "uid": f"uid-{n}", "controller": True}]
        name = f"web-{n}-{claim['name']}"
        made = devices("ResourceClaim", name, 2, uid=f"uid-{name}", resourceVersion="9", ownerReferences=owner)
        saved.append(stamped(made))
    two = devices("ResourceClaimTemplate", "two", 2)
    room = 6 * number

    async def found(*manifests: Json, limit: int) -> Check:
        return await checked(DEVICES.replace("4}", f"{limit}}}"), two, *manifests, saved=saved)

    assert verdicts(await found(web, limit=room))[1:] == [NO_MORE]
    came = await found(three, devices("ResourceClaim", "more", 1), limit=room)
    assert verdicts(came)[1:] == ["fits", "does not fit"]
    assert verdicts(await found(three, devices("ResourceClaim", "more", 1), limit=room + 1))[1:] == ["fits", "fits"]
    assert verdicts(await found(three, limit=room - 1))[1:] == ["does not fit"]
