"""
Whether manifests would fit, without a cluster: the code that answers reviews, over a cluster in memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from webhook.admission.claim_templates import claim_templates
from webhook.admission.manifests import Author, Check, ManifestCheck
from webhook.documents.case_text import NamespaceFacts
from webhook.documents.object_text import RawObject
from webhook.kinds.evaluator import AnyKind
from webhook.ledger.memory import MemoryLedger
from webhook.ports import READY
from webhook.quota.errors import WebhookError
from webhook.quota.objects import AnyObject, ObjectKey
from webhook.quota.policy import Policy
from webhook.quota.usage import Row
from webhook.registration import default_exemptions, manifest_files
from webhook.wiring.file_kinds import kind_in_file, kinds_under
from webhook.wiring.saved_usage import usage_of
from webhook.wiring.simulated_cluster import SimulatedCluster, Standing
from webhook.wiring.standalone import reviewers

_DEADLINE = 1.0
"""After the time at which the clock of a check stands."""

_MOST_MAKERS = 3
"""Controllers above a pod that are followed: of a CronJob there are a Job and the CronJob."""


_NO_REPLICA_SETS = "ReplicaSets were not saved: pods of Deployments that exist count beside those of the manifests"


class ManifestError(WebhookError):
    """An object on which the others depend cannot be read. The message names its place."""


async def check(
    objects: Iterable[RawObject], author: Author, policy: Policy, saved: Sequence[RawObject], now: datetime
) -> Check:
    """
    Return whether *objects* fit under *policy* at *now*, one after another, beside those *saved* from a cluster.

    An object that was saved is replaced, every other one is created. Raises: ManifestError, SavedUsageError.
    """
    objects, clock = tuple(objects), Standing(now, policy)
    target = _SavedCluster(objects, policy, saved, now)
    index = target.simulated.index
    ledger = MemoryLedger(index, monotonic=clock.monotonic, api_time=clock.monotonic, in_step=lambda: READY)
    handler, advice = reviewers(target.simulated, clock, ledger, clock, target.kinds)
    came = await ManifestCheck(handler, advice, index, target, author).of(objects, deadline=_DEADLINE)
    return came._replace(notes=(*target.notes, *came.notes))


class _Found(NamedTuple):
    kind: AnyKind
    body: bytes
    meta: Any


class _SavedCluster:
    """Port `TargetCluster`: what was saved, under a policy, and the namespaces among that and the manifests."""

    def __init__(self, objects: Sequence[RawObject], policy: Policy, saved: Sequence[RawObject], now: datetime) -> None:
        self._policy = policy
        self.kinds = kinds_under(policy)
        self._exempt = default_exemptions(manifest_files.webhook_manifests())
        self._namespaces = dict(_namespaces((*saved, *objects)))
        self.simulated = SimulatedCluster(policy, self._namespaces, claim_templates(saved))
        self._found: dict[ObjectKey, _Found] = {}
        self.notes: dict[str, None] = {}
        self._fill(saved, now)

    def kind_of(self, written: RawObject) -> AnyKind | None:
        return kind_in_file(written, self.kinds, self._policy)

    def is_exempt(self, namespace: str) -> bool:
        return namespace in self._exempt

    def remark_on(self, namespace: str) -> str:
        if not self._policy.tenants or namespace in self._namespaces:
            return ""
        return f"namespace {namespace} is not known: it is taken for one without labels"

    async def stored(self, kind: AnyKind, namespace: str, name: str) -> bytes | None:
        found = self._found.get(ObjectKey(kind.resource, namespace, name))
        return None if found is None else found.body

    def _fill(self, saved: Sequence[RawObject], now: datetime) -> None:
        """Put what was saved into the cluster."""
        usage = usage_of(saved, self._policy, now)
        controllers: dict[str, str] = {}
        for each in saved:
            kind = self.kind_of(each)
            if kind is None:
                continue
            meta = msgspec.json.decode(each.body, type=AnyObject).metadata
            if not (meta.uid and meta.resource_version.isdecimal()):
                raise ManifestError(f"{each.title} has no uid or resourceVersion: save it with kubectl get -o json")
            self._found[ObjectKey(kind.resource, each.namespace, each.name)] = _Found(kind, each.body, meta)
            if meta.controller is not None:
                controllers[meta.uid] = meta.controller.uid
        known = {each.meta.uid for each in self._found.values()}
        for key, found in self._found.items():
            makers = list(_above(found.meta.uid, controllers))
            row: Row | None = usage.holdings.rows.get(key.resource, {}).get(f"{key.namespace}/{key.name}")
            self.simulated.put_saved(key, found.body, row, makers)
            above = found.meta.controller
            if above is not None and above.kind == "ReplicaSet" and above.uid not in known:
                self.notes[_NO_REPLICA_SETS] = None


class _Meta(msgspec.Struct, frozen=True):
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None


class _Namespace(msgspec.Struct, frozen=True):
    metadata: _Meta = _Meta()


def _namespaces(objects: Iterable[RawObject]) -> Iterator[tuple[str, NamespaceFacts]]:
    """Yield the namespaces among *objects*, with what they carry."""
    for each in objects:
        if (each.api_version, each.kind) == ("v1", "Namespace"):
            try:
                meta = msgspec.json.decode(each.body, type=_Namespace).metadata
            except msgspec.MsgspecError as error:
                raise ManifestError(f"{each.title}: {error}") from error
            yield each.name, NamespaceFacts(meta.labels or {}, meta.annotations or {})


def _above(uid: str, controllers: Mapping[str, str]) -> Iterator[str]:
    """Yield the uids of the controllers above an object, the nearest first."""
    for _ in range(_MOST_MAKERS):
        above = controllers.get(uid)
        if above is None:
            return
        yield above
        uid = above
