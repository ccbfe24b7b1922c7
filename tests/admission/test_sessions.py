"""Sessions in the request path: those that are older than their preset, and those that cannot be read."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from benchmarks.sessions import WITH_NOTEBOOKS
from tests.admission.asking import Json, Webhook, a_review, request_of, stamped
from webhook.documents.shipped_presets import shipped
from webhook.kinds.counted import counted
from webhook.kinds.pods import PODS, PodEvaluator
from webhook.kinds.registry import KINDS, Registry
from webhook.kinds.session_kind import SessionEvaluator, session_kind
from webhook.ports import UnavailableError
from webhook.quota.missing import Bounds
from webhook.quota.objects import Annotations, ObjectMeta
from webhook.quota.quantity import parse

POLICY = """\
version: 1
sessions: {presets: [kubeflow-notebook]}
defaults: {user: {hard: {sessions: 1, cpu: 2}}}
"""
STOPPED = {"kubeflow-resource-stopped": "now"}


def notebook(cpu: str = "1", *, annotations: dict[str, str] | None = None, **metadata: object) -> Json:
    containers = [{"name": "n", "resources": {"requests": {"cpu": cpu}}}]
    known = {"name": "n", "namespace": "red", "uid": "u", "resourceVersion": "5", "annotations": annotations or {}}
    return {
        "apiVersion": "kubeflow.org/v1",
        "kind": "Notebook",
        "metadata": {**known, **metadata},
        "spec": {"template": {"spec": {"containers": containers}}},
    }


def changed(old: Json, new: Json, **request: Any) -> Json:
    return a_review("notebooks.kubeflow.org", "UPDATE", object=new, oldObject=old, name="n", **request)


def webhook() -> Webhook:
    return Webhook(POLICY, kinds=WITH_NOTEBOOKS)


async def test_a_label_on_an_older_session_is_its_own_matter() -> None:
    answer = await webhook().ask(changed(notebook(), notebook(labels={"colour": "red"})))
    assert answer.allowed
    assert answer.stamp == {}


@pytest.mark.parametrize(
    ("old", "new"),
    [(notebook(annotations=STOPPED), notebook()), (notebook("1"), notebook("1500m"))],
    ids=["starts it", "makes it larger"],
)
async def test_who_raises_an_older_session_pays_for_it(old: Json, new: Json) -> None:
    answer = await webhook().ask(changed(old, new))
    assert answer.allowed
    assert answer.stamp["userquota.dev/owner"] == "alice"


async def test_and_has_to_have_the_room() -> None:
    answer = await webhook().ask(changed(notebook(annotations=STOPPED), notebook("3")))
    assert not answer.allowed
    assert "requested: requests.cpu=3" in answer.message


async def test_a_version_that_no_preset_knows_is_no_way_past_the_limits() -> None:
    """The API server serves an object in every version of its kind, so that what is stored and what is asked match."""
    other = {"apiVersion": "kubeflow.org/v9"}
    old, larger = (stamped({**notebook(cpu), **other}) for cpu in ("1", "99"))
    stopped, started = (stamped({**notebook(annotations=each), **other}) for each in (STOPPED, {}))
    for before, after in ((old, larger), (stopped, started)):
        answer = await webhook().ask(changed(before, after))
        assert answer.message.startswith("cannot be charged: apiVersion: ")


async def test_one_that_cannot_be_read_is_judged_when_it_is_mended() -> None:
    bad, large = stamped(notebook("much")), stamped(notebook("3"))
    assert "requested: requests.cpu=3" in (await webhook().ask(changed(bad, large))).message
    other_mistake = stamped(notebook("more"))
    assert (await webhook().ask(changed(bad, other_mistake))).message.startswith("cannot be charged: spec.")


async def test_one_that_cannot_be_read_can_be_changed_and_mended_and_not_made() -> None:
    bad = stamped(notebook("much"))
    assert (await webhook().ask(changed(bad, stamped(notebook("much", labels={"colour": "red"}))))).allowed
    assert (await webhook().ask(changed(bad, stamped(notebook("1"))))).allowed
    assert not (await webhook().ask(changed(stamped(notebook("1")), bad))).allowed
    made = await webhook().ask(a_review("notebooks.kubeflow.org", object=notebook("much"), name="n"))
    assert made.message.startswith("cannot be charged: spec.template.spec.containers[0].resources.requests.cpu")


# What its pods get when they are made.


def undeclared(**labels: str) -> Json:
    return {**notebook(labels=labels), "spec": {"template": {"spec": {"containers": [{"name": "n"}]}}}}


async def test_the_defaults_that_its_pods_get_are_a_part_of_its_size() -> None:
    asked = webhook()
    asked.limit_ranges.known = {"cpu": Bounds(request=parse("3"))}
    refused = await asked.ask(a_review("notebooks.kubeflow.org", object=undeclared(), name="n"))
    assert "requested: requests.cpu=3, used: requests.cpu=0, limited: requests.cpu=2" in refused.message

    assert (await asked.ask(changed(stamped(undeclared()), stamped(undeclared(colour="red"))))).allowed


def of_class(runtime_class: str, cpu: str = "1", **labels: str) -> Json:
    made = notebook(cpu, labels=labels)
    made["spec"]["template"]["spec"]["runtimeClassName"] = runtime_class
    return made


async def test_the_overhead_of_its_runtime_class_is_a_part_of_its_size() -> None:
    asked = webhook()
    asked.classes.by_runtime_class = {"kata": {"cpu": parse("1500m")}, "small": {"cpu": parse("1")}}
    refused = await asked.ask(a_review("notebooks.kubeflow.org", object=of_class("kata"), name="n"))
    assert "requested: requests.cpu=2500m, used: requests.cpu=0, limited: requests.cpu=2" in refused.message

    assert (await asked.ask(a_review("notebooks.kubeflow.org", object=of_class("small"), name="n"))).allowed
    for old, new in (("kata", "kata"), ("kata", "small")):
        assert (await asked.ask(changed(stamped(of_class(old)), stamped(of_class(new, colour="red"))))).allowed
    larger = changed(stamped(of_class("small", "1500m")), stamped(of_class("kata", "1500m")))
    assert not (await asked.ask(larger)).allowed


async def test_runtime_classes_are_read_only_for_sessions_with_one_and_have_to_be() -> None:
    asked = webhook()
    asked.classes.trouble = "the API server is down"
    assert (await asked.ask(a_review("notebooks.kubeflow.org", object=notebook(), name="n"))).allowed
    with pytest.raises(UnavailableError, match="the API server is down"):
        await asked.ask(a_review("notebooks.kubeflow.org", object=of_class("kata"), name="n"))


async def test_what_the_policy_fills_in_counts_as_well() -> None:
    policy = POLICY + "missing: {cpu: {default: 3}}\n"
    refused = await Webhook(policy, kinds=WITH_NOTEBOOKS).ask(
        a_review("notebooks.kubeflow.org", object=undeclared(), name="n")
    )
    assert "requested: requests.cpu=3" in refused.message


async def test_without_an_answer_about_defaults_nothing_is_started() -> None:
    asked = webhook()
    asked.limit_ranges.trouble = "the API server is down"
    with pytest.raises(UnavailableError, match="the API server is down"):
        await asked.ask(a_review("notebooks.kubeflow.org", object=undeclared(), name="n"))


# Its scale subresource.

DASK = shipped("dask")
PLAIN = counted(DASK.resource, "kubernetes.dask.org/v1", "DaskCluster")
COUNTER = SessionEvaluator(PLAIN.count, [DASK], frees_stopped=False, is_session=lambda _: False)
WITH_DASK = Registry(*KINDS, session_kind(PLAIN, COUNTER, DASK.controllers))


def dask(*, owner: str | None = "alice") -> Webhook:
    asked = Webhook(POLICY.replace("kubeflow-notebook", "dask"), kinds=WITH_DASK)
    annotations = None if owner is None else Annotations(owner=owner, groups="[]")
    asked.owners.objects["DaskCluster", "red", "d"] = ObjectMeta(
        name="d", namespace="red", uid="u", resource_version="5", annotations=annotations
    )
    worker = {"containers": [{"name": "w", "resources": {"requests": {"cpu": "500m"}}}]}
    asked.owners.specs["d"] = {"scheduler": {"spec": {}}, "worker": {"replicas": 2, "spec": worker}}
    return asked


def scaling(before: int, after: int) -> Json:
    old, new = ({"metadata": {"name": "d"}, "spec": {"replicas": each}} for each in (before, after))
    return a_review(DASK.resource, "UPDATE", object=new, oldObject=old, name="d", subResource="scale")


@pytest.mark.parametrize(("replicas", "is_allowed"), [(1, True), (4, True), (5, False), (2**31 - 1, False)])
async def test_more_replicas_have_to_fit(replicas: int, is_allowed: bool) -> None:
    answer = await dask().validate_only(scaling(2, replicas))
    assert answer.allowed is is_allowed
    if not is_allowed:
        assert "would fit: requests.cpu=2" in answer.message


async def test_nobody_scales_what_nobody_owns() -> None:
    assert "take it over first" in (await dask(owner=None).validate_only(scaling(2, 3))).message


async def test_what_is_gone_is_scaled_by_nobody() -> None:
    asked = dask()
    asked.owners.objects.clear()
    assert (await asked.validate_only(scaling(2, 9))).allowed


# What its status says.

JOBS = shipped("trainjob")
A_JOB = counted(JOBS.resource, "trainer.kubeflow.org/v1alpha1", "TrainJob")
JOB_COUNTER = SessionEvaluator(A_JOB.count, [JOBS], frees_stopped=False, is_session=lambda _: False)
WITH_JOBS = Registry(*KINDS, session_kind(A_JOB, JOB_COUNTER, JOBS.controllers))


def job(*conditions: str) -> Json:
    trainer = {"numNodes": 1, "resourcesPerNode": {"requests": {"cpu": "1"}}}
    return stamped(
        {
            "apiVersion": "trainer.kubeflow.org/v1alpha1",
            "kind": "TrainJob",
            "metadata": {"name": "j", "namespace": "red", "uid": "u", "resourceVersion": "5"},
            "spec": {"runtimeRef": {"name": "r"}, "trainer": trainer},
            "status": {"conditions": [{"type": each, "status": "True"} for each in conditions]},
        }
    )


@pytest.mark.parametrize("subresource", ["", "status"])
@pytest.mark.parametrize(
    ("pods", "user", "now", "is_refused"),
    [
        (["p"], {"username": "alice"}, ["Complete"], True),
        ([], {"username": "alice"}, ["Complete"], False),
        (["p"], {"username": "alice"}, ["Suspended"], False),
        (["p"], {"username": JOBS.controllers[0]}, ["Complete"], False),
        (["p"], {"username": "root", "groups": ["system:masters"]}, ["Complete"], False),
    ],
    ids=["it has pods", "it has none", "nothing ends", "the platform", "an administrator"],
)
async def test_who_may_say_that_a_session_has_ended(
    subresource: str, pods: list[str], user: Json, now: list[str], is_refused: bool
) -> None:
    asked = Webhook(POLICY.replace("kubeflow-notebook", "trainjob"), kinds=WITH_JOBS)
    asked.pods.found = pods
    body = a_review(JOBS.resource, "UPDATE", object=job(*now), oldObject=job(), name="j", userInfo=user)
    body["request"]["subResource"] = subresource
    answer = await asked.validate_only(body)
    assert answer.allowed is not is_refused
    if is_refused:
        assert (
            answer.message == "it has pods that run: only its platform may report that a session has stopped or ended"
        )


async def test_a_report_is_not_believed_while_nobody_knows_which_pods_it_has() -> None:
    preset = shipped("rayjob")
    plain = counted(preset.resource, "ray.io/v1", "RayJob")
    counter = SessionEvaluator(plain.count, [preset], frees_stopped=False, is_session=lambda _: False)
    asked = Webhook(
        POLICY.replace("kubeflow-notebook", "rayjob"), kinds=Registry(*KINDS, session_kind(plain, counter, ()))
    )

    def ray_job(**status: object) -> Json:
        metadata = {"name": "j", "namespace": "red", "uid": "u", "resourceVersion": "5"}
        cluster = {"headGroupSpec": {"template": {"spec": {"containers": [{"name": "c"}]}}}}
        spec = {"entrypoint": "x", "rayClusterSpec": cluster}
        return stamped(
            {"apiVersion": "ray.io/v1", "kind": "RayJob", "metadata": metadata, "spec": spec, "status": status}
        )

    body = a_review(
        f"{preset.resource}/status",
        "UPDATE",
        object=ray_job(jobDeploymentStatus="ValidationFailed"),
        oldObject=ray_job(),
        name="j",
    )
    answer = await asked.validate_only(body)
    assert answer.message.startswith("which pods it has is not known: only its platform may report")


# Pods that are sessions.

HUB_POLICY = """\
version: 1
sessions: {presets: [jupyterhub]}
defaults: {user: {hard: {sessions: 1}, perSession: {cpu: 2}, perPod: {memory: 4Gi}}}
"""
SERVER = {"component": "singleuser-server"}


def hub_webhook() -> Webhook:
    pods = PodEvaluator()
    pods.read_by([shipped("jupyterhub")])
    kinds = (replace(each, evaluator=pods) if each is PODS else each for each in KINDS)
    return Webhook(HUB_POLICY, kinds=Registry(*kinds))


def server(name: str, *, cpu: str = "1", memory: str = "1Gi", labels: dict[str, str] | None = None) -> Json:
    requests = {"cpu": cpu, "memory": memory}
    metadata = {"name": name, "namespace": "red", "uid": name, "labels": SERVER if labels is None else labels}
    return {"metadata": metadata, "spec": {"containers": [{"name": "c", "resources": {"requests": requests}}]}}


@pytest.mark.parametrize(
    ("made", "refusal"),
    [
        (server("b"), "requested: sessions=1, used: sessions=0, limited: sessions=1"),
        (server("b", cpu="3"), "limited: requests.cpu=2 for one session"),
        (server("b", memory="5Gi"), "limited: requests.memory=4Gi for one pod"),
        (server("b", cpu="3", labels={}), ""),
    ],
)
async def test_a_pod_that_is_a_session_has_a_place_and_both_caps(made: Json, refusal: str) -> None:
    asked = hub_webhook()
    assert (await asked.ask(a_review("pods", object=server("a"), name="a"))).allowed
    answer = await asked.ask(a_review("pods", object=made, name="b"))
    assert answer.allowed is (not refusal)
    assert refusal in answer.message


# By an account that names the person.

DELEGATED = POLICY + "attribution: {delegates: [{serviceAccount: portal/api, sessions: true}]}\n"
PORTAL = {"username": "system:serviceaccount:portal:api"}


def desktop(**spec: object) -> Json:
    metadata = {"name": "n", "namespace": "red", "uid": "u"}
    return {"apiVersion": "stream.space/v1alpha1", "kind": "Session", "metadata": metadata, "spec": spec}


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({}, "spec.user: nothing says whose session it is; tried field spec.user"),
        ({"user": "system:admin"}, "spec.user: nothing says whose session it is; tried field spec.user"),
        ({"user": "a" * 254}, "spec.user: the name is longer than 253 characters"),
        ({"user": "alice", "resources": {"requests": {"cpu": "much"}}}, "spec.resources.requests"),
    ],
    ids=["nobody", "the system", "too long", "an amount"],
)
async def test_what_a_platform_makes_and_nobody_can_read_is_refused_with_the_field(spec: Json, field: str) -> None:
    preset = shipped("streamspace")
    row = counted(preset.resource, "stream.space/v1alpha1", "Session")
    evaluator = SessionEvaluator(row.count, [preset], frees_stopped=False, is_session=lambda _: False)
    webhook = Webhook(DELEGATED, kinds=Registry(*WITH_NOTEBOOKS, session_kind(row, evaluator, ())))

    answer = await webhook.ask(a_review(preset.resource, object=desktop(**spec), name="n", userInfo=PORTAL))

    assert answer.denied_by == "mutate"
    assert answer.message.startswith(f"cannot be charged: {field}")


def one_that_just_started() -> Webhook:
    """Return a replica that has the policy, and has not looked up yet what its sessions are."""
    webhook = Webhook(POLICY)
    webhook.handler.kinds.awaited = {"notebooks.kubeflow.org": ("kubeflow.org", "Notebook")}
    return webhook


POD_OF_NOTEBOOK = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {
        "name": "n-0",
        "namespace": "red",
        "uid": "u",
        "ownerReferences": [
            {"apiVersion": "kubeflow.org/v1", "kind": "Notebook", "name": "n", "uid": "u1", "controller": True}
        ],
    },
    "spec": {"containers": [{"name": "n"}]},
}


@pytest.mark.parametrize(
    "body",
    [
        a_review("notebooks.kubeflow.org", "CREATE", object=notebook(), name="n"),
        changed(notebook(annotations=STOPPED), notebook()),
        a_review("pods", "CREATE", object=POD_OF_NOTEBOOK, name="n-0"),
    ],
    ids=["a session", "its start", "its pod"],
)
async def test_while_it_is_not_known_what_sessions_are_none_passes(body: Json) -> None:
    request = request_of(body)

    with pytest.raises(UnavailableError, match="not all known yet"):
        await one_that_just_started().mutate(request)
    with pytest.raises(UnavailableError, match="not all known yet"):
        await one_that_just_started().validate(request)
