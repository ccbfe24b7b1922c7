"""What a workload makes, and what its rolling update needs besides: each kind with its fields as the API sends them."""

from __future__ import annotations

import json
from collections.abc import ItemsView
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from webhook.kinds.evaluator import UncountableError
from webhook.kinds.workload_copies import RolledOut, made_by, needs_surge
from webhook.kinds.workloads import Workload, demand_of
from webhook.quota.objects import ObjectKey
from webhook.quota.resources import Amount, grown

TEMPLATE = {"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}]}}
CLAIM = {"metadata": {"name": "data"}, "spec": {"resources": {"requests": {"storage": "1Gi"}}}}
SCRATCH = {
    "name": "scratch",
    "ephemeral": {"volumeClaimTemplate": {"spec": {"resources": {"requests": {"storage": "1"}}}}},
}


def workload(spec: dict[str, Any]) -> Workload:
    return msgspec.json.decode(json.dumps({"metadata": {"name": "w"}, "spec": spec}), type=Workload)


NUMBERS: dict[str, tuple[dict[str, Any], int | None]] = {
    "replicas": ({"replicas": 3, "template": TEMPLATE}, 3),
    "as many as a number can say": ({"replicas": 2**31 - 1, "template": TEMPLATE}, 2**31 - 1),
    "a DaemonSet has one on each node": ({"template": TEMPLATE}, None),
    "a job": ({"parallelism": 4, "template": TEMPLATE}, 4),
    "a job with fewer completions": ({"parallelism": 4, "completions": 2, "template": TEMPLATE}, 2),
    "a job with more completions": ({"parallelism": 4, "completions": 9, "template": TEMPLATE}, 4),
    "a cron job": ({"jobTemplate": {"spec": {"parallelism": 2, "template": TEMPLATE}}}, 2),
}


@pytest.mark.parametrize(("spec", "number"), NUMBERS.values(), ids=NUMBERS.keys())
def test_how_many_pods_are_made(spec: dict[str, Any], number: int | None) -> None:
    made = made_by(workload(spec))

    assert made is not None
    assert made.number == number
    assert made.is_later is ("jobTemplate" in spec)
    assert made.pod.spec.containers is not None


NOTHING_MADE: dict[str, dict[str, Any]] = {
    "no replicas": {"replicas": 0, "template": TEMPLATE},
    "a suspended job": {"parallelism": 1, "suspend": True, "template": TEMPLATE},
    "a suspended cron job": {"suspend": True, "jobTemplate": {"spec": {"template": TEMPLATE}}},
    "a cron job of suspended jobs": {"jobTemplate": {"spec": {"suspend": True, "template": TEMPLATE}}},
    "no template": {"replicas": 3},
    "null": {"replicas": 3, "template": None},
}


@pytest.mark.parametrize("spec", NOTHING_MADE.values(), ids=NOTHING_MADE.keys())
def test_what_makes_nothing(spec: dict[str, Any]) -> None:
    assert made_by(workload(spec)) is None


def test_the_objects_of_a_stateful_set_and_its_pods() -> None:
    template = {"spec": {**TEMPLATE["spec"], "volumes": [SCRATCH, {"name": "other", "emptyDir": {}}]}}
    spec = {"replicas": 3, "template": template, "volumeClaimTemplates": [CLAIM], "ordinals": {"start": 5}}

    made = made_by(workload(spec))

    assert made is not None
    assert len(made.claims) == 2
    assert set(made.objects("red", "w", ["w-5"])) == {
        ObjectKey("pods", "red", "w-5"),
        ObjectKey("persistentvolumeclaims", "red", "w-5-scratch"),
        *(ObjectKey("persistentvolumeclaims", "red", f"data-w-{ordinal}") for ordinal in (5, 6, 7)),
    }


def test_each_claim_for_devices_names_its_template() -> None:
    """A claim that exists is shared by all pods, and is made by nobody here."""
    claims = [
        {"name": "a", "resourceClaimTemplateName": "gpu"},
        {"name": "b", "resourceClaimName": "shared"},
        {"name": "c", "resourceClaimTemplateName": "gpu"},
        {"name": "d", "resourceClaimTemplateName": "nic"},
    ]
    made = made_by(workload({"replicas": 1, "template": {"spec": {**TEMPLATE["spec"], "resourceClaims": claims}}}))
    assert made is not None
    assert made.devices == ("gpu", "gpu", "nic")


def test_a_claim_for_devices_that_cannot_be_read_is_named() -> None:
    template = {"spec": {**TEMPLATE["spec"], "resourceClaims": [{"name": "a"}, {"resourceClaimTemplateName": 7}]}}
    with pytest.raises(UncountableError) as error:
        made_by(workload({"replicas": 1, "template": template}))
    assert error.value.path == "spec.template.spec.resourceClaims[1]"


def test_billions_of_replicas_are_not_walked_through() -> None:
    made = made_by(workload({"replicas": 2**31 - 1, "template": TEMPLATE, "volumeClaimTemplates": [CLAIM]}))
    assert made is not None
    assert len(list(made.objects("red", "w", []))) == 1000


def test_a_volume_that_cannot_be_read_is_named() -> None:
    template = {"spec": {**TEMPLATE["spec"], "volumes": [{"name": "x", "emptyDir": {}}, {"name": "y", "ephemeral": 7}]}}
    with pytest.raises(UncountableError) as error:
        made_by(workload({"replicas": 1, "template": template}))
    assert error.value.path == "spec.template.spec.volumes[1].ephemeral"


def rolling(surge: object, unavailable: object) -> dict[str, Any]:
    return {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}


@dataclass(frozen=True)
class Rollout:
    strategy: dict[str, Any] | None
    replicas: int
    needs: bool
    paused: bool = False


ROLLOUTS = {
    "the defaults, of few": Rollout(rolling("25%", "25%"), 3, needs=True),
    "the defaults, of four": Rollout(rolling("25%", "25%"), 4, needs=False),
    "no numbers": Rollout({"type": "RollingUpdate"}, 1, needs=True),
    "one more, none less": Rollout(rolling(1, 0), 9, needs=True),
    "one more, one less": Rollout(rolling(1, 1), 9, needs=False),
    "none more, one less": Rollout(rolling(0, 1), 9, needs=False),
    "a small part less": Rollout(rolling(1, "10%"), 9, needs=True),
    "a part less": Rollout(rolling(1, "10%"), 10, needs=False),
    "both nothing, so that one is less": Rollout(rolling(0, 0), 9, needs=False),
    "no percentage": Rollout(rolling("one", "none"), 9, needs=False),
    "recreate": Rollout({"type": "Recreate"}, 3, needs=False),
    "no strategy, as of a StatefulSet": Rollout(None, 3, needs=False),
    "paused": Rollout(rolling(1, 0), 3, needs=False, paused=True),
    "no replicas": Rollout(rolling(1, 0), 0, needs=False),
}


@pytest.mark.parametrize("case", ROLLOUTS.values(), ids=ROLLOUTS.keys())
def test_whether_a_rolling_update_makes_a_pod_first(case: Rollout) -> None:
    spec = {"replicas": case.replicas, "template": TEMPLATE, "strategy": case.strategy, "paused": case.paused}
    assert needs_surge(workload(spec)) is case.needs


def test_any_change_of_the_template_is_rolled_out() -> None:
    images = ("one", "two", "one")
    texts = [
        msgspec.json.decode(json.dumps({"spec": {"template": {"spec": {"image": each}}}}), type=RolledOut).template
        for each in images
    ]
    assert texts[0] == texts[2] != texts[1]


def test_a_runtime_class_is_more_than_none_and_another_one_is_more() -> None:
    def of_class(name: str | None) -> ItemsView[str, Amount]:
        spec = {**TEMPLATE["spec"], "runtimeClassName": name}
        return dict(demand_of(workload({"replicas": 2, "template": {"spec": spec}}))).items()

    assert grown(of_class("kata"), of_class(None))
    assert not grown(of_class(None), of_class("kata"))
    assert grown(of_class("kata"), of_class("gvisor"))
    assert not grown(of_class("kata"), of_class("kata"))


@pytest.mark.parametrize("field", ["resourceClaims", "volumes"])
def test_claims_that_are_no_utf_8_are_more_than_none_and_others_are_more(field: str) -> None:
    """A claim of a template is compared as it is written, and read where its pods are counted."""

    def of(letter: bytes) -> set[tuple[str, object]]:
        item = b'{"name":"a","ephemeral":{"x":"%s"}}' % letter
        text = b'{"spec":{"replicas":1,"template":{"spec":{"%s":[%s]}}}}' % (field.encode(), item)
        return set(demand_of(msgspec.json.decode(text, type=Workload)))

    assert of(b"\xff") - set(demand_of(workload({"replicas": 1, "template": {"spec": {}}})))
    assert of(b"\xff") - of(b"\xfe")


def test_a_job_asks_for_no_more_pods_than_completions() -> None:
    few, many = ({"parallelism": parallelism, "completions": 2, "template": TEMPLATE} for parallelism in (2, 9))
    assert demand_of(workload(few)) == demand_of(workload(many)) != ()
