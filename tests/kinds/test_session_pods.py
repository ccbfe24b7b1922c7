"""Pods that are sessions themselves."""

from __future__ import annotations

import json

import msgspec
import pytest

from webhook.documents.policy_text import PolicyText, read_policy
from webhook.documents.shipped_presets import shipped
from webhook.kinds.pod_shapes import Pod
from webhook.kinds.pods import PodEvaluator
from webhook.quota.quantity import NANOS

A_SESSION = ("sessions", NANOS)
SERVER = {"component": "singleuser-server"}
CODER = {"com.coder.resource": "true", "com.coder.user.username": "ada"}


def pod(labels: dict[str, str] | None = None, *, phase: str = "Running", **metadata: object) -> Pod:
    known = {"name": "p", "labels": labels, **metadata}
    text = json.dumps({"metadata": known, "spec": {"containers": [{}]}, "status": {"phase": phase}})
    return msgspec.json.decode(text, type=Pod)


def evaluator(*presets: str) -> PodEvaluator:
    found = PodEvaluator()
    found.read_by(map(shipped, presets))
    return found


OWNED = [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": "u", "controller": True}]


@pytest.mark.parametrize(
    ("found", "is_session"),
    [
        (pod(SERVER), True),
        (pod(SERVER, phase="Pending", ownerReferences=OWNED), True),
        (pod(CODER), True),
        (pod(CODER, ownerReferences=OWNED), False),
        (pod({"component": "hub"}), False),
        (pod({}), False),
        (pod(None), False),
        (pod(SERVER, phase="Succeeded"), False),
        (pod(SERVER, phase="Failed"), False),
    ],
)
def test_which_pods_have_a_place_in_sessions(found: Pod, is_session: bool) -> None:
    counted = evaluator("jupyterhub", "coder-pod")
    assert (A_SESSION in counted.usage(found, now=None)) is is_session
    plain = evaluator().usage(found, now=None)
    assert tuple(each for each in counted.usage(found, now=None) if each != A_SESSION) == plain


def test_a_place_in_sessions_is_the_client_s_own_whatever_others_add_to_the_pod() -> None:
    fields: dict[str, object] = {"f:spec": {"f:containers": {'k:{"name":"main"}': {}}}}
    known = {"name": "p", "labels": SERVER, "managedFields": [{"manager": "hub", "fieldsV1": fields}]}
    raw = json.dumps({"metadata": known, "spec": {"containers": [{"name": "main"}, {"name": "proxy"}]}}).encode()

    found = evaluator("jupyterhub").authored(msgspec.json.decode(raw, type=Pod), raw)

    assert found.others == ("proxy",)
    assert A_SESSION in found.own


def test_sessions_are_a_resource_of_pods_while_a_preset_says_so() -> None:
    counted = evaluator("jupyterhub")
    assert counted.counts("sessions")
    generation = counted.generation
    assert not counted.read_by([shipped("jupyterhub")])
    assert counted.generation == generation
    assert counted.read_by([])
    assert counted.generation > generation
    assert not counted.counts("sessions")


def test_a_preset_of_pods_that_matches_by_anything_else_is_a_mistake() -> None:
    match = "[{field: spec.nodeName, operator: Exists}]"
    text = f"version: 1\nsessions: {{presets: [{{preset: jupyterhub, match: {match}}}]}}\n"
    [mistake] = read_policy([PolicyText("p.yaml", text)]).mistakes
    assert "pods match by metadata.labels and metadata.ownerReferences, not by spec.nodeName" in str(mistake)
