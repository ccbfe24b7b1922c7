"""The scopes that pods and claims are in."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from webhook.kinds.claims import PERSISTENT_VOLUME_CLAIMS, PersistentVolumeClaim
from webhook.kinds.pod_shapes import Pod
from webhook.kinds.pods import PODS
from webhook.kinds.registry import KINDS
from webhook.quota.scopes import Scopes

PLAIN = ("NotBestEffort", "PriorityClass", "NotTerminating")


def of_pod(spec: dict[str, Any], **status: Any) -> Scopes:
    return PODS.evaluator.scopes(msgspec.json.decode(json.dumps({"spec": spec, "status": status}), type=Pod))


def of_claim(spec: dict[str, Any], **status: Any) -> Scopes:
    read = msgspec.json.decode(json.dumps({"spec": spec, "status": status}), type=PersistentVolumeClaim)
    return PERSISTENT_VOLUME_CLAIMS.evaluator.scopes(read)


def affinity(kind: str, when: str, **term: Any) -> dict[str, Any]:
    listed = [term] if when.startswith("required") else [{"weight": 1, "podAffinityTerm": term}]
    return {"affinity": {kind: {f"{when}DuringSchedulingIgnoredDuringExecution": listed}}}


@pytest.mark.parametrize(
    ("scopes", "expected"),
    [
        (of_pod({}), PLAIN),
        (of_pod({}, qosClass="BestEffort"), ("BestEffort", *PLAIN[1:])),
        (of_pod({}, qosClass="Burstable"), PLAIN),
        (of_pod({"activeDeadlineSeconds": 0}), (*PLAIN[:2], "Terminating")),
        (of_pod({"activeDeadlineSeconds": 3600}), (*PLAIN[:2], "Terminating")),
        (of_pod({"activeDeadlineSeconds": None}), PLAIN),
        (of_pod({"priorityClassName": "high"}), ("NotBestEffort", "PriorityClass=high", "NotTerminating")),
        (of_pod({"priorityClassName": ""}), PLAIN),
    ],
)
def test_a_pod_is_in_scopes(scopes: Scopes, expected: Scopes) -> None:
    assert scopes == expected


@pytest.mark.parametrize("kind", ["podAffinity", "podAntiAffinity"])
@pytest.mark.parametrize("when", ["required", "preferred"])
@pytest.mark.parametrize(
    ("term", "leaves"),
    [
        ({}, False),
        ({"namespaces": []}, False),
        ({"namespaces": ["other"]}, True),
        ({"namespaceSelector": {}}, True),
        ({"namespaceSelector": None}, False),
        ({"namespaceSelector": {"matchLabels": {"a": "b"}}}, True),
    ],
)
def test_affinity_to_other_namespaces_is_a_scope(kind: str, when: str, term: dict[str, Any], *, leaves: bool) -> None:
    assert ("CrossNamespacePodAffinity" in of_pod(affinity(kind, when, **term))) is leaves


@pytest.mark.parametrize(
    ("scopes", "expected"),
    [
        (of_claim({}), ("VolumeAttributesClass",)),
        (of_claim({"volumeAttributesClassName": ""}), ("VolumeAttributesClass",)),
        (of_claim({"volumeAttributesClassName": "gold"}), ("VolumeAttributesClass=gold",)),
        (
            of_claim(
                {"volumeAttributesClassName": "gold"},
                currentVolumeAttributesClassName="iron",
                modifyVolumeStatus={"targetVolumeAttributesClassName": "silver", "status": "InProgress"},
            ),
            ("VolumeAttributesClass=gold", "VolumeAttributesClass=iron", "VolumeAttributesClass=silver"),
        ),
    ],
)
def test_a_claim_is_in_each_class_it_has_or_is_given(scopes: Scopes, expected: Scopes) -> None:
    assert scopes == expected


def test_the_rows_name_the_scopes_of_their_objects() -> None:
    named = {scope.partition("=")[0] for scope in (*of_pod({}), *of_pod({}, qosClass="BestEffort"))}

    assert named <= PODS.scopes
    assert KINDS.counts("pods", scopes=["BestEffort", "PriorityClass"])
    assert not KINDS.counts("requests.storage", scopes=["BestEffort"])
    assert KINDS.counts("requests.storage", scopes=["VolumeAttributesClass"])
    assert not KINDS.counts("pods", scopes=["BestEffort", "VolumeAttributesClass"])
