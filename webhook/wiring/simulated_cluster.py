"""
A cluster in memory, for tests of a policy and the check of manifests: the objects that exist, in the usage index and
behind the ports.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import msgspec
from msgspec import Raw, Struct

from webhook.admission.patch import applied
from webhook.attribution.stamp import stamping
from webhook.documents.case_text import NamespaceFacts
from webhook.kinds.as_stored import as_stored
from webhook.kinds.claims import PERSISTENT_VOLUME_CLAIMS
from webhook.kinds.evaluator import AnyKind, PodDefaults, Size
from webhook.kinds.misfits import misfit_text
from webhook.kinds.pod_template import future_pod
from webhook.kinds.pods import PODS
from webhook.kinds.resource_claims import RESOURCE_CLAIM_TEMPLATES, RESOURCE_CLAIMS, ResourceClaimTemplate, pod_of
from webhook.kinds.workload_copies import Claim, Made, made_by
from webhook.kinds.workloads import Workload
from webhook.ports import UnavailableError
from webhook.quota.errors import WebhookError
from webhook.quota.objects import AnyObject, ObjectKey, ObjectMeta, StoredVersion
from webhook.quota.policy import Policy, accounts_under
from webhook.quota.resources import Amounts
from webhook.quota.scopes import Scopes
from webhook.quota.subject import NOBODY, Payer
from webhook.quota.usage import Row, UsageIndex
from webhook.wiring.standalone import StandaloneCluster

Json = dict[str, Any]
T = TypeVar("T")

_MOST_PODS = 10_000
_WITHOUT_OBJECT = "amounts without an object"
"""Stands for the resource in keys of usage of which only the amounts are known."""

_NO_FACTS = NamespaceFacts({}, {})
_NONE: Mapping[ObjectKey, bytes] = {}


class CaseError(WebhookError):
    """A case cannot be run. The message says what is missing or contradicts itself."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Ports `Clock` and `PolicySource`: one moment, one policy."""

    moment: datetime
    policy: Policy

    def now(self) -> datetime:
        """Return the moment."""
        return self.moment

    def monotonic(self) -> float:
        """Return 0: no time passes."""
        return 0.0

    def current(self) -> Policy:
        """Return the policy."""
        return self.policy


class _Labels(Struct, frozen=True):
    labels: dict[str, str] | None = None


class _Labelled(Struct, frozen=True):
    metadata: _Labels = _Labels()


class SimulatedCluster(StandaloneCluster):
    """
    The ports of a cluster in which controllers have done their work: a workload has its pods and claims, a session
    that runs has its pods. Without LimitRanges and classes, and without anybody who may hand objects over.
    """

    def __init__(
        self, policy: Policy, namespaces: Mapping[str, NamespaceFacts], templates: Mapping[ObjectKey, bytes] = _NONE
    ) -> None:
        """
        Count what is put into the cluster in an index of its own, under *policy*.

        *templates* are the ResourceClaimTemplates that there are, see `admission.claim_templates`.
        """
        self._policy = policy
        self.index = UsageIndex(accounts_under(policy, self.known), policy.devices)
        self._namespaces = namespaces
        self._objects = dict(templates)
        self._pods_by_uid: dict[str, tuple[str, ...]] = {}
        self._device_claims: dict[tuple[str, str], tuple[str, ...]] = {}
        self._labels: dict[ObjectKey, Mapping[str, str]] = {}
        self._versions: Iterator[int] = itertools.count(1)

    # What a case puts there.

    def put(self, kind: AnyKind, document: Json, payer: Payer) -> Json:
        """
        Put an object of *payer* there, with what is made for it; return it as it is stored.

        It has a name, a namespace and a uid. Raises: CaseError, UncountableError, msgspec.MsgspecError.
        """
        version = next(self._versions)
        named = {**document, "metadata": {**document["metadata"], "resourceVersion": str(version)}}
        meta = msgspec.convert(named, AnyObject).metadata
        key = ObjectKey(kind.resource, meta.namespace, meta.name)
        if key in self._objects:
            raise CaseError(f"{kind.kind} {meta.name} exists twice in namespace {meta.namespace}")
        stored = as_stored(kind, applied(named, stamping(meta, None if payer == NOBODY else payer)))
        body = msgspec.json.encode(stored)
        self._objects[key] = body
        self._labels[key] = msgspec.json.decode(body, type=_Labelled).metadata.labels or {}
        obj = msgspec.json.decode(body, type=kind.shape)
        if kind.is_charged:
            evaluator = kind.evaluator
            amounts, scopes = evaluator.usage(obj, now=None), evaluator.scopes(obj)
            part_of = self._policy.sessions_of(evaluator.labels(obj))
            self.index.observe(key, Row(meta.uid, version, payer, amounts, scopes, part_of=part_of))
            size = evaluator.size(obj, PodDefaults({}, self._policy.missing_defaults, self._policy.categories))
            if size is not None and size.is_running:
                self._put_pods_of_session(key, size, payer)
        if kind.demand is not None:
            self._put_pods(key, msgspec.json.decode(body, type=Workload), payer)
        return stored

    def put_saved(self, key: ObjectKey, body: bytes, row: Row | None, makers: Iterable[str]) -> None:
        """
        Put an object there as it was saved from a cluster, counted as *row* says.

        If it is a pod, *makers* are the uids of its controller, of the controller of that, and so on.
        """
        self._objects[key] = body
        self._labels[key] = msgspec.json.decode(body, type=_Labelled).metadata.labels or {}
        if row is not None:
            self.index.observe(key, row)
        if key.resource == PODS.resource:
            for uid in makers:
                self._pods_by_uid[uid] = (*self._pods_by_uid.get(uid, ()), key.name)
        if key.resource == RESOURCE_CLAIMS.resource:
            pod = pod_of(msgspec.json.decode(body, type=AnyObject).metadata)
            if pod is not None:
                self._note_device_claim(key, pod)

    def put_amounts(self, namespace: str, payer: Payer, amounts: Amounts) -> None:
        """Have *payer* use *amounts* in *namespace*, without an object."""
        self._add(ObjectKey(_WITHOUT_OBJECT, namespace, str(next(self._versions))), payer, amounts)

    def _put_pods_of_session(self, key: ObjectKey, size: Size, payer: Payer) -> None:
        """Put there as one what the pods of a session cost; no room is held any more for pods that have come."""
        pods, version = ObjectKey(PODS.resource, key.namespace, f"{key.name}-pods"), next(self._versions)
        labels = self._labels[pods] = dict(size.pod_labels[0]) if size.pod_labels else {}
        part_of = self._policy.sessions_of(labels)
        self.index.observe(pods, Row(f"uid of pods {pods.name}", version, payer, size.amounts, part_of=part_of))

    def _put_pods(self, key: ObjectKey, workload: Workload, payer: Payer) -> None:
        made = made_by(workload)
        if made is None or made.is_later:
            return
        if made.number is None:
            raise CaseError(f"how many pods {key.name} has is for its nodes to say: give the pods instead")
        if made.number > _MOST_PODS:
            raise CaseError(f"{key.name} has {made.number} pods, and at most {_MOST_PODS} can be counted here")
        policy = self._policy
        pod = future_pod(made.pod, PodDefaults({}, policy.missing_defaults, classes=policy.node_classes))
        names = [f"{key.name}-{ordinal}" for ordinal in range(made.start, made.start + made.number)]
        for name in names:
            self._add(ObjectKey(PODS.resource, key.namespace, name), payer, pod.amounts, pod.scopes)
            for claim in _claims(made, name):
                self._put_claim(key.namespace, claim, payer)
            for position, template in enumerate(made.devices):
                self._put_device_claim(key.namespace, template, name, position, payer)
        self._pods_by_uid[workload.metadata.uid] = tuple(names)

    def _put_claim(self, namespace: str, made: Claim, payer: Payer) -> None:
        evaluator = PERSISTENT_VOLUME_CLAIMS.evaluator
        amounts, scopes = evaluator.usage(made.claim, now=None), evaluator.scopes(made.claim)
        self._add(ObjectKey(PERSISTENT_VOLUME_CLAIMS.resource, namespace, made.of), payer, amounts, scopes)

    def _put_device_claim(self, namespace: str, template: str, pod: str, position: int, payer: Payer) -> None:
        """Put a claim there that a template makes. Raises: CaseError without the template, if any limit counts it."""
        evaluator = RESOURCE_CLAIMS.evaluator
        if not self._policy.limits_any(evaluator.counts):
            return
        body = self._objects.get(ObjectKey(RESOURCE_CLAIM_TEMPLATES.resource, namespace, template))
        if body is None:
            raise CaseError(f"what pod {pod} claims is not known: give ResourceClaimTemplate {template}, too")
        claim = msgspec.json.decode(body, type=ResourceClaimTemplate).claim
        key = ObjectKey(RESOURCE_CLAIMS.resource, namespace, f"{pod}-{position}")
        self._add(key, payer, evaluator.usage(claim, now=None), evaluator.scopes(claim))
        self._note_device_claim(key, pod)

    def _note_device_claim(self, key: ObjectKey, pod: str) -> None:
        self._device_claims[key.namespace, pod] = (*self._device_claims.get((key.namespace, pod), ()), key.name)

    def _add(self, key: ObjectKey, payer: Payer, amounts: Amounts, scopes: Scopes = ()) -> None:
        uid = f"uid of {key.resource} {key.name}"
        self.index.observe(key, Row(uid, next(self._versions), payer, amounts, scopes))

    # What the ports ask.

    async def holder(self, key: ObjectKey) -> StoredVersion | None:
        """Return the object that was put under *key*."""
        row = self.index.row(key)
        return None if row is None else StoredVersion(row.uid, row.version)

    async def names(self, namespace: str, uid: str, selector: Raw) -> tuple[str, ...]:  # noqa: ARG002
        """Return the pods of a workload that was put there; a new one adopts none."""
        return self._pods_by_uid.get(uid, ())

    async def device_claims(self, namespace: str, pods: Collection[str]) -> tuple[str, ...]:
        """Return the claims for devices that these pods have."""
        return tuple(claim for pod in pods for claim in self._device_claims.get((namespace, pod), ()))

    async def labelled(self, namespace: str, labels: Iterable[Sequence[tuple[str, str]]]) -> tuple[str, ...]:
        """Return the pods that have all labels of one of the alternatives."""
        wanted = [dict(each).items() for each in labels]
        pods = ((key, has) for key, has in self._labels.items() if key[:2] == (PODS.resource, namespace))
        return tuple(key.name for key, has in pods if any(each <= has.items() for each in wanted))

    def known(self, name: str) -> Mapping[str, str]:
        """Return the labels of a namespace."""
        return self._namespaces.get(name, _NO_FACTS).labels

    async def annotations(self, name: str) -> Mapping[str, str]:
        """Return the annotations of a namespace."""
        return self._namespaces.get(name, _NO_FACTS).annotations

    async def read(self, kind: AnyKind, namespace: str, name: str) -> ObjectMeta | None:
        """Return the metadata of an object that was put there."""
        found = await self.read_whole(kind, namespace, name, AnyObject)
        return None if found is None else found.metadata

    async def read_whole(self, kind: AnyKind, namespace: str, name: str, shape: type[T]) -> T | None:
        """Return an object that was put there. Raises: UnavailableError for one that cannot be read."""
        body = self._objects.get(ObjectKey(kind.resource, namespace, name))
        try:
            return None if body is None else msgspec.json.decode(body, type=shape)
        except msgspec.MsgspecError as error:
            raise UnavailableError("unreadable", f"{kind.kind} {name}: {misfit_text(error)}") from error


def _claims(made: Made, pod: str) -> Iterator[Claim]:
    """Yield the claims of one pod, each with the name that its controller gives it."""
    yield from (Claim(f"{pod}-{each.of}", each.claim) for each in made.ephemeral)
    yield from (Claim(f"{each.of}-{pod}", each.claim) for each in made.templates)
