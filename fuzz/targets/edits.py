"""
Edits of the policy, as an API server posts them: what is stored and what the webhook says of it.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import msgspec

from fuzz.target import Target, promise
from fuzz.targets.reviews import Meter, asked_in
from fuzz.targets.worlds import NOON, policy_text, result_of
from webhook.admission.policy_edits import PolicyEdits
from webhook.admission.review import AdmissionRequest, AdmissionResponse
from webhook.documents.policy_config_map import POLICY_LABEL, PolicyConfigMap
from webhook.documents.policy_text import PolicyText, read_policy
from webhook.ledger.memory import MemoryLedger
from webhook.policy_source import CurrentPolicy, PolicyConfigMaps, Submission
from webhook.ports import READY
from webhook.quota.capacity import NodeFacts
from webhook.quota.objects import ObjectKey, StoredVersion
from webhook.quota.policy import Policy, accounts_under
from webhook.quota.subject import Payer
from webhook.quota.usage import Holdings, Row, UsageIndex
from webhook.serving.replies import Replies
from webhook.wiring.standalone import StandaloneCluster

NAMESPACE = "userquota-system"
_LONG = 1e9
_LONGEST_AUDIT = 8192


class _Clock:
    def now(self) -> Any:
        """Return a moment."""
        return NOON

    def monotonic(self) -> float:
        """Return 0: no time passes."""
        return 0.0


class _Empty:
    """Port `StoredObjects`: nothing is stored."""

    async def version_of(self, key: ObjectKey) -> StoredVersion | None:  # noqa: ARG002
        return None


class _Usage:
    """Port `KnownUsage`: a pod of alice."""

    def __init__(self, index: UsageIndex) -> None:
        self._index = index

    def holdings(self) -> Holdings:
        """Return all that is used."""
        return self._index.holdings()

    def is_counted(self, resource: str) -> bool:  # noqa: ARG002
        """Return true."""
        return True

    def devices(self) -> frozenset[str]:
        """Return a device."""
        return frozenset({"nvidia.com/gpu"})

    def nodes(self) -> tuple[NodeFacts, ...]:
        """Return a node with two GPUs."""
        return (NodeFacts({"gpu": "h100"}, (("requests.nvidia.com/gpu", 2 * 10**9),)),)


class World:
    """A policy in force, in one ConfigMap, and a pod that uses something."""

    def __init__(self) -> None:
        namespaces = StandaloneCluster()
        index = UsageIndex(accounts_under(Policy(), namespaces.known))
        current = CurrentPolicy(
            on_change=lambda new: index.rebind(accounts_under(new, namespaces.known), new.devices),
            on_mistakes=lambda _: None,
        )

        def submit(new: Submission) -> None:
            current.accept(new.texts, read_policy(new.texts), faults=new.faults)

        maps = PolicyConfigMaps(submit, on_removed=lambda *_: None, may_be_absent=False)
        maps.started()
        meta = {
            "name": "p",
            "namespace": NAMESPACE,
            "uid": "u",
            "resourceVersion": "5",
            "labels": {POLICY_LABEL: "true"},
        }
        stored = {"metadata": meta, "data": {"policy.yaml": policy_text(("kubeflow-notebook",))}}
        maps.seen(msgspec.convert(stored, PolicyConfigMap))
        maps.synced(7)
        amounts = (("pods", 10**9), ("requests.cpu", 3 * 10**9))
        index.observe(ObjectKey("pods", "red", "a"), Row("uid", 5, Payer("alice"), amounts))
        clock = _Clock()
        ledger = MemoryLedger(index, monotonic=clock.monotonic, api_time=clock.monotonic, in_step=lambda: READY)
        edits = PolicyEdits(NAMESPACE, maps, current, namespaces, _Usage(index), ledger, _Empty(), clock)

        async def judge(request: AdmissionRequest, deadline: float) -> AdmissionResponse:
            return await edits.judge(request, deadline=deadline)

        self.meter = Meter()
        self.replies = Replies({"/policy": judge}, self.meter)


_world = cache(World)


def check_edit(data: bytes) -> None:
    """Check the reply to one edit."""
    check_in(_world(), data)


def check_in(world: World, data: bytes) -> None:
    """Check the reply of *world* to one edit."""
    world.meter.defect = None
    reply = result_of(world.replies.to("/policy", data, deadline=_LONG))
    if world.meter.defect is not None:
        raise world.meter.defect
    answer = json.loads(reply.body)
    if reply.status != 200:
        promise(reply.status in {400, 503} and answer["message"], "status", reply.status)
        return
    asked, response = asked_in(data), answer["response"]
    if asked is None:
        promise(asked, "an answer to no request")
        return
    promise(response["uid"] == asked.get("uid"), "uid", response["uid"])
    for key, value in response.get("auditAnnotations", {}).items():
        promise(len(value) <= _LONGEST_AUDIT, "audit value", key, len(value))
    if not response["allowed"]:
        promise(response["status"]["message"], "a denial without words")
    elif asked.get("operation") == "CREATE" and _is_judged(asked):
        texts = [PolicyText(key, text) for key, text in (asked["object"].get("data") or {}).items()]
        promise(read_policy(texts).policy is not None, "a policy with mistakes is stored")


def _is_judged(asked: dict[str, Any]) -> bool:
    """Whether the request makes a ConfigMap a part of the policy."""
    resource, obj = asked.get("resource"), asked.get("object")
    if not isinstance(resource, dict) or not isinstance(obj, dict) or asked.get("subResource"):
        return False
    labels = (obj.get("metadata") or {}).get("labels") or {}
    is_config_map = (resource.get("resource"), resource.get("group", "")) == ("configmaps", "")
    return is_config_map and asked.get("namespace") == NAMESPACE and labels.get(POLICY_LABEL) == "true"


TARGETS = (
    Target(
        "edit",
        "`admission/policy_edits.py` and all beneath it, at `/policy`",
        "an AdmissionReview with the uid of the request, or 400 or 503 with a reason; no new ConfigMap with a mistake "
        "is allowed into the policy",
        check_edit,
        longest=8192,
        mutations=200,
    ),
)
