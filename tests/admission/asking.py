"""Calls the handler as an API server does: the mutating call, then the validating call with the patch applied."""

from __future__ import annotations

import base64
import copy
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import jsonpatch

from tests.fakes import (
    FakeCapacity,
    FakeClasses,
    FakeClock,
    FakeLimitRanges,
    FakeNames,
    FakeNamespaces,
    FakeOwners,
    FakePods,
    FakePolicies,
    FakeRights,
)
from webhook.admission import review
from webhook.admission.handler import AdmissionHandler
from webhook.admission.review import AdmissionRequest
from webhook.attribution.rules import Attribution
from webhook.kinds.pods import PODS, PodEvaluator
from webhook.kinds.registry import KINDS, Registry
from webhook.ledger.memory import MemoryLedger
from webhook.ports import READY
from webhook.quota.objects import ObjectKey
from webhook.quota.policy import accounts_under
from webhook.quota.resources import Amount
from webhook.quota.subject import Payer, Subject
from webhook.quota.usage import Row, UsageIndex

REVIEWS = Path(__file__).parent / "reviews"

Json = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """
    The result for the client of the API server: `object` is what would be stored, None if nothing is.

    `denied_by` is the call that denied the request, empty if none did.
    """

    allowed: bool
    object: Json | None = None
    denied_by: str = ""
    message: str = ""
    response: Json = field(default_factory=dict)

    @property
    def stamp(self) -> dict[str, str]:
        """Return our own annotations on the object as it would be stored."""
        noted = ((self.object or {}).get("metadata") or {}).get("annotations") or {}
        return {key: value for key, value in noted.items() if key.startswith("userquota.dev/")}


class Webhook:
    """The whole request path over fake ports: real policy text, real usage index, real ledger of one replica."""

    def __init__(self, policy: str = "version: 1\n", *, kinds: Registry = KINDS) -> None:
        self.clock = FakeClock()
        self.owners = FakeOwners()
        self.rights = FakeRights()
        self.policies = FakePolicies.reading(policy)
        self.namespaces = FakeNamespaces()
        assert self.policies.policy is not None
        in_force = self.policies.policy
        kinds = Registry(*kinds)
        if in_force.node_classes:
            pods = PodEvaluator()
            pods.place_by(in_force.node_classes)
            kinds.add(replace(PODS, evaluator=pods))
        kinds.count(in_force.counted)
        self.index = UsageIndex(accounts_under(in_force, self.namespaces.known), in_force.devices)
        self.condition = READY
        self.ledger = MemoryLedger(
            self.index,
            monotonic=self.clock.monotonic,
            api_time=self.clock.api_time,
            in_step=lambda: self.condition,
        )
        rules = Attribution(self.owners, self.namespaces, self.policies, rights=self.rights, kinds=kinds)
        self.names = FakeNames()
        self.limit_ranges = FakeLimitRanges()
        self.classes = FakeClasses()
        self.pods = FakePods()
        self.capacity = FakeCapacity()
        self.handler = AdmissionHandler(
            rules,
            self.policies,
            self.namespaces,
            self.ledger,
            self.clock,
            self.names,
            self.limit_ranges,
            self.classes,
            self.pods,
            self.owners,
            kinds,
            self.capacity,
            self.ledger,
        )

    async def mutate(self, request: AdmissionRequest) -> Json:
        return decoded(review.encode(await self.handler.mutate(request)))

    async def validate(self, request: AdmissionRequest, *, within: float = 5.0) -> Json:
        deadline = self.clock.monotonic() + within
        return decoded(review.encode(await self.handler.validate(request, deadline=deadline)))

    async def ask(self, body: Json) -> Answer:
        """Return the result of a review: the mutating call, its patch, then the validating call."""
        response = await self.mutate(request_of(body))
        if not response["allowed"]:
            return Answer(allowed=False, denied_by="mutate", message=response["status"]["message"], response=response)
        body = copy.deepcopy(body)
        if "patch" in response:
            steps = json.loads(base64.b64decode(response["patch"]))
            body["request"]["object"] = jsonpatch.apply_patch(body["request"]["object"], steps)
        return await self.validate_only(body)

    async def mutate_only(self, body: Json) -> Json:
        """Return the response of the mutating call alone."""
        return await self.mutate(request_of(body))

    async def validate_only(self, body: Json) -> Answer:
        """Return the result of the validating call alone."""
        response = await self.validate(request_of(body))
        if not response["allowed"]:
            message = response["status"]["message"]
            return Answer(allowed=False, denied_by="validate", message=message, response=response)
        return Answer(allowed=True, object=body["request"].get("object"), response=response)

    def shows(self, name: str, amounts: dict[str, Amount], *, owner: str = "alice", version: int = 5) -> None:
        """Deliver a pod from the watch, for the first time or again."""
        costs = tuple(sorted(amounts.items()))
        self.index.observe(ObjectKey("pods", "red", name), Row(f"uid-of-{name}", version, Payer(owner), costs))

    def held(self, subject: Subject, resource: str) -> Amount:
        return self.index.used(subject, resource) + self.index.reserved(subject, resource)


def decoded(body: bytes) -> Json:
    answer: Json = json.loads(body)
    response: Json = answer["response"]
    return response


def request_of(body: Json) -> AdmissionRequest:
    """Return the request in *body*, encoded like Go: compact, with only the necessary escapes."""
    return review.decode(json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode())


def recorded(name: str) -> Json:
    body: Json = json.loads((REVIEWS / f"{name}.json").read_text())
    return body


def a_review(
    resource: str = "pods",
    operation: str = "CREATE",
    user: str = "alice",
    groups: tuple[str, ...] = ("system:authenticated",),
    **request: object,
) -> Json:
    """Return a review; *resource* is the plural with its group and subresource, as in `deployments.apps/status`."""
    plural, _, sub_resource = resource.partition("/")
    name, _, group = plural.partition(".")
    body: Json = {
        "uid": "call-1",
        "resource": {"group": group, "version": "v1", "resource": name},
        "operation": operation,
        "namespace": "red",
        "userInfo": {"username": user, "groups": list(groups)},
        "dryRun": False,
        "oldObject": None,
        **request,
    }
    if sub_resource:
        body["subResource"] = sub_resource
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": body}


def pod(name: str = "pod", cpu: str = "1", **metadata: object) -> Json:
    """Return a pod with one container that requests *cpu*, as it is stored."""
    asked = {"requests": {"cpu": cpu}} if cpu else {}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "red", "uid": f"uid-of-{name}", "resourceVersion": "5", **metadata},
        "spec": {"containers": [{"name": "main", "resources": asked}]},
    }


def stamped(document: Json, owner: str = "alice", groups: str = "[]") -> Json:
    """Return *document* with the stamp of *owner* added to its annotations."""
    document = copy.deepcopy(document)
    noted = document["metadata"].get("annotations") or {}
    stamp = {"userquota.dev/owner": owner, "userquota.dev/groups": groups}
    document["metadata"]["annotations"] = {**noted, **stamp}
    return document
