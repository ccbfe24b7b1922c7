"""What the pods of a session get by its category: in the size that is judged, and when they are made."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.admission.asking import Answer, Json, Webhook, a_review
from webhook.documents.policy_text import PolicyText, read_policy
from webhook.kinds.counted import counted
from webhook.kinds.pods import PODS, PodEvaluator
from webhook.kinds.registry import KINDS, Registry
from webhook.kinds.session_kind import SessionEvaluator, session_kind
from webhook.ports import UnavailableError
from webhook.quota.objects import ObjectMeta
from webhook.quota.presets import Preset

# The seven categories of StreamSpace.
CATEGORIES = """\
  categories:
    browser-light: {cpu: 500m, memory: 1Gi}
    browser-heavy: {cpu: 1, memory: 2Gi}
    desktop-basic: {cpu: 1, memory: 2Gi}
    desktop-pro: {cpu: 2, memory: 4Gi}
    development: {cpu: 2, memory: 4Gi}
    gpu-accelerated: {cpu: 4, memory: 8Gi}
    gpu-large: {cpu: 8, memory: 32Gi, limits.memory: 64Gi}
"""
DEFAULT = "    default: {cpu: 250m}\n"
POLICY = (
    "version: 1\nsessions:\n  presets: [{preset: streamspace, category: [{field: spec.category}]}]\n"
    + CATEGORIES
    + "defaults: {user: {perSession: {cpu: 4}}}\nmissing: {cpu: {default: 100m}}\n"
)
WITH_DEFAULT = POLICY.replace(CATEGORIES, CATEGORIES + DEFAULT)
OF_ONE = {"app": "streamspace-session", "session": "one"}


def preset(policy: str) -> Preset:
    read = read_policy([PolicyText("p", policy)])
    assert read.policy is not None, read.mistakes
    return read.policy.presets[0]


def webhook(policy: str = POLICY, *, spec: Json | None = None) -> Webhook:
    """Return a webhook in front of a cluster with session `one` of this *spec*."""
    by = preset(policy)
    plain = counted(by.resource, by.api_versions[0], by.kind)
    evaluator = SessionEvaluator(plain.count, [by], frees_stopped=False, is_session=lambda _: False)
    asked = Webhook(policy, kinds=Registry(*KINDS, session_kind(plain, evaluator, by.controllers)))
    if spec is not None:
        asked.owners.objects[by.kind, "red", "one"] = ObjectMeta(name="one", namespace="red", uid="u")
        asked.owners.specs["one"] = {"user": "alice", **spec}
    return asked


def a_pod(*requests: Json, labels: Json | None = None, annotations: Json | None = None) -> Json:
    metadata = {"name": "pod", "namespace": "red", "uid": "p", "labels": OF_ONE if labels is None else labels}
    containers = [{"name": f"c{at}", "resources": {"requests": each}} for at, each in enumerate(requests or ({},))]
    return {"metadata": {**metadata, "annotations": annotations or {}}, "spec": {"containers": containers}}


async def made(asked: Webhook, document: Json) -> list[Json]:
    """Return the resources of the containers of a pod as they would be stored."""
    answer = await asked.ask(a_review("pods", object=document, name="pod"))
    assert answer.allowed, answer.message
    assert answer.object is not None
    again = await asked.ask(a_review("pods", object=answer.object, name="pod"))
    assert again.object == answer.object, "a second call changes nothing"
    return [each["resources"] for each in answer.object["spec"]["containers"]]


FILLED: dict[str, Json] = {
    "browser-light": {"requests": {"cpu": "500m", "memory": "1Gi"}},
    "browser-heavy": {"requests": {"cpu": "1", "memory": "2Gi"}},
    "desktop-basic": {"requests": {"cpu": "1", "memory": "2Gi"}},
    "desktop-pro": {"requests": {"cpu": "2", "memory": "4Gi"}},
    "development": {"requests": {"cpu": "2", "memory": "4Gi"}},
    "gpu-accelerated": {"requests": {"cpu": "4", "memory": "8Gi"}},
    "gpu-large": {"requests": {"cpu": "8", "memory": "32Gi"}, "limits": {"memory": "64Gi"}},
    "unheard-of": {"requests": {"cpu": "100m"}},
    "": {"requests": {"cpu": "100m"}},
}


@pytest.mark.parametrize(("category", "resources"), FILLED.items())
async def test_a_pod_gets_what_the_category_of_its_session_says(category: str, resources: Json) -> None:
    spec: Json = {"category": category} if category else {}
    assert await made(webhook(spec=spec), a_pod()) == [resources]
    assert await made(webhook(spec={name: text.upper() for name, text in spec.items()}), a_pod()) == [resources]


@pytest.mark.parametrize("spec", [{}, {"category": "unheard-of"}, {"category": None}])
async def test_the_default_is_for_sessions_without_a_known_category(spec: Json) -> None:
    assert await made(webhook(WITH_DEFAULT, spec=spec), a_pod()) == [{"requests": {"cpu": "250m"}}]


async def test_what_is_written_stays_in_each_container() -> None:
    filled = await made(webhook(spec={"category": "desktop-pro"}), a_pod({"cpu": "3"}, {"memory": "0"}, {}))
    assert filled == [
        {"requests": {"cpu": "3", "memory": "4Gi"}},
        {"requests": {"cpu": "2", "memory": "0"}},
        {"requests": {"cpu": "2", "memory": "4Gi"}},
    ]


NO_PODS_OF_IT = {
    "no label": {},
    "a label of another preset": {"notebook-name": "one"},
    "not all labels": {"session": "one"},
    "a session that is not there": {**OF_ONE, "session": "two"},
}


@pytest.mark.parametrize("labels", NO_PODS_OF_IT.values(), ids=NO_PODS_OF_IT)
async def test_other_pods_get_what_all_get(labels: Json) -> None:
    asked = webhook(WITH_DEFAULT, spec={"category": "gpu-large"})
    assert await made(asked, a_pod(labels=labels)) == [{"requests": {"cpu": "100m"}}]


async def test_a_session_that_cannot_be_read_gives_its_pods_what_all_get() -> None:
    assert await made(webhook(WITH_DEFAULT, spec={"category": ["large"]}), a_pod()) == [{"requests": {"cpu": "100m"}}]


async def test_the_session_is_read_only_for_a_pod_that_lacks_something() -> None:
    asked = webhook(spec={"category": "development"})
    await asked.mutate_only(a_review("pods", object=a_pod({"cpu": "1", "memory": "1Gi"}, {"cpu": "1"}), name="pod"))
    assert asked.owners.asked == ["Session one"]
    asked.owners.asked.clear()
    whole = a_pod({"cpu": "1", "memory": "1Gi"})
    whole["spec"]["containers"][0]["resources"]["limits"] = {"memory": "1Gi"}
    await asked.mutate_only(a_review("pods", object=whole, name="pod"))
    assert asked.owners.asked == []


async def test_without_an_answer_about_the_session_no_pod_is_made() -> None:
    asked = webhook(spec={"category": "development"})
    asked.owners.trouble = "the API server is down"
    with pytest.raises(UnavailableError, match="the API server is down"):
        await asked.ask(a_review("pods", object=a_pod(), name="pod"))


# Its size.


async def start(category: str | None, **spec: Any) -> Answer:
    document = {
        "apiVersion": "stream.space/v1alpha1",
        "kind": "Session",
        "metadata": {"name": "one", "namespace": "red", "uid": "u"},
        "spec": {"user": "alice", "category": category, **spec},
    }
    return await webhook().ask(a_review("sessions.stream.space", object=document, name="one"))


async def test_what_its_pods_get_is_in_the_size_that_is_judged() -> None:
    assert (await start("GPU-Accelerated")).allowed
    refused = await start("gpu-large")
    assert "requested: requests.cpu=8, limited: requests.cpu=4 for one session" in refused.message
    assert (await start("gpu-large", resources={"requests": {"cpu": "1"}})).allowed
    assert (await start("unheard-of")).allowed


UNKNOWN = """\
version: 1
sessions:
  presets: [{preset: streamspace, category: [{field: spec.category}], pods: [{label: session-uid, value: uid}]}]
  categories: {large: {cpu: 8}}
defaults: {user: {perSession: {cpu: 4}}}
"""


async def test_pods_that_do_not_carry_the_name_of_their_session_get_nothing_and_so_its_size_has_nothing() -> None:
    asked = webhook(UNKNOWN, spec={"category": "large"})
    assert await made(asked, a_pod(labels={"session-uid": "u"})) == [{"requests": {}}]
    document = {
        "apiVersion": "stream.space/v1alpha1",
        "kind": "Session",
        "metadata": {"name": "one", "namespace": "red", "uid": "u"},
        "spec": {"user": "alice", "category": "large"},
    }
    assert (await asked.ask(a_review("sessions.stream.space", object=document, name="one"))).allowed


# Pods that are sessions.

HUB = """\
version: 1
sessions:
  presets: [{preset: jupyterhub, category: [{annotation: hub/profile}, {label: hub/profile}]}]
  categories: {large: {cpu: 8}, default: {cpu: 1}}
"""
SERVER = {"component": "singleuser-server"}
MARKED = {
    "an annotation": (a_pod(labels=SERVER, annotations={"hub/profile": "LARGE"}), "8"),
    "a label": (a_pod(labels={**SERVER, "hub/profile": "large"}), "8"),
    "none": (a_pod(labels=SERVER), "1"),
    "an unknown one": (a_pod(labels=SERVER, annotations={"hub/profile": "small"}), "1"),
}


def hub() -> Webhook:
    pods = PodEvaluator()
    pods.read_by([preset(HUB)])
    return Webhook(HUB, kinds=Registry(*(replace(each, evaluator=pods) if each is PODS else each for each in KINDS)))


@pytest.mark.parametrize(("document", "cpu"), MARKED.values(), ids=MARKED)
async def test_a_pod_that_is_a_session_says_its_category_itself(document: Json, cpu: str) -> None:
    assert await made(hub(), document) == [{"requests": {"cpu": cpu}}]


async def test_a_pod_that_is_no_session_has_no_category() -> None:
    assert await made(hub(), a_pod(labels={}, annotations={"hub/profile": "large"})) == [{"requests": {}}]
