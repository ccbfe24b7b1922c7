"""
Whether manifests would fit, without a cluster: the code that answers reviews, over a cluster in memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
from msgspec import Raw

from webhook.admission.reading import Marked
from webhook.admission.review import AdmissionRequest
from webhook.admission.together import decide_together
from webhook.admission.verdicts import Left, Verdict
from webhook.documents.case_text import NamespaceFacts
from webhook.documents.object_text import RawObject
from webhook.kinds.as_stored import as_stored
from webhook.kinds.evaluator import AnyKind, UncountableError
from webhook.kinds.workloads import Workload
from webhook.ledger.memory import MemoryLedger
from webhook.ports import READY
from webhook.quota.errors import WebhookError
from webhook.quota.objects import AnyObject, GroupVersionResource, ObjectKey, UserInfo
from webhook.quota.policy import Policy
from webhook.quota.usage import Row
from webhook.registration import default_exemptions, manifest_files
from webhook.wiring.file_kinds import kind_in_file, kinds_under, resource_in_file
from webhook.wiring.saved_usage import usage_of
from webhook.wiring.simulated_cluster import SimulatedCluster, Standing
from webhook.wiring.standalone import reviewers

Json = dict[str, Any]

_DEADLINE = 1.0
"""After the time at which the clock of a check stands."""

_DEFAULT_NAMESPACE = "default"
_MOST_MAKERS = 3
"""Controllers above a pod that are followed: of a CronJob there are a Job and the CronJob."""

_OF_KUBERNETES = ("", "apps", "autoscaling", "batch", "policy")


class ManifestError(WebhookError):
    """An object on which the others depend cannot be read. The message names its place."""


class Checked(NamedTuple):
    """
    One object, and what it comes to. `free` says why it costs nothing, `unreadable` why there is no verdict on it.
    """

    written: RawObject
    namespace: str
    verdict: Verdict | None = None
    free: str = ""
    unreadable: str = ""
    notes: tuple[str, ...] = ()


class Check(NamedTuple):
    """What becomes of all objects, what is left of the limits on them, and what the answer leaves open."""

    objects: tuple[Checked, ...]
    left: tuple[Left, ...]
    notes: tuple[str, ...]


class Author(NamedTuple):
    """Who submits the manifests; *namespace* is that of objects that name none."""

    user: UserInfo
    namespace: str = ""


async def check(
    objects: Iterable[RawObject], author: Author, policy: Policy, saved: Sequence[RawObject], now: datetime
) -> Check:
    """
    Return whether *objects* fit under *policy* at *now*, one after another, beside those *saved* from a cluster.

    An object that was saved is replaced, every other one is created. Raises: ManifestError, SavedUsageError.
    """
    return await _Run(tuple(objects), author, policy, saved, now).outcome()


class _Found(NamedTuple):
    kind: AnyKind
    body: bytes
    meta: Any


class _Run:
    """One check."""

    def __init__(
        self,
        objects: tuple[RawObject, ...],
        author: Author,
        policy: Policy,
        saved: Sequence[RawObject],
        now: datetime,
    ) -> None:
        self._objects = objects
        self._author = author
        self._policy = policy
        self._kinds = kinds_under(policy)
        self._exempt = default_exemptions(manifest_files.webhook_manifests())
        self._namespaces = dict(_namespaces((*saved, *objects)))
        self._cluster = SimulatedCluster(policy, self._namespaces)
        self._standing = Standing(now, policy)
        self._found: dict[ObjectKey, _Found] = {}
        self._notes: dict[str, None] = {}
        self._fill(saved, now)

    async def outcome(self) -> Check:
        prepared = [self._prepared(position, each) for position, each in enumerate(self._objects)]
        requests = [each for _, each in prepared if each is not None]
        index, clock = self._cluster.index, self._standing
        ledger = MemoryLedger(index, monotonic=clock.monotonic, api_time=clock.monotonic, in_step=lambda: READY)
        handler, advice = reviewers(self._cluster, self._standing, ledger, clock, self._kinds)
        came = await decide_together(handler, advice, requests, index=index, deadline=_DEADLINE)
        verdicts = iter(came.verdicts)
        checked = [each if asked is None else _judged(each, next(verdicts)) for each, asked in prepared]
        return Check(tuple(checked), came.left, tuple(self._notes))

    # What exists.

    def _fill(self, saved: Sequence[RawObject], now: datetime) -> None:
        """Put what was saved into the cluster."""
        usage = usage_of(saved, self._policy, now)
        controllers: dict[str, str] = {}
        for each in saved:
            kind = kind_in_file(each, self._kinds, self._policy)
            if kind is None:
                continue
            meta = msgspec.json.decode(each.body, type=AnyObject).metadata
            if not (meta.uid and meta.resource_version.isdecimal()):
                raise ManifestError(f"{_place(each)} has no uid or resourceVersion: save it with kubectl get -o json")
            self._found[ObjectKey(kind.resource, each.namespace, each.name)] = _Found(kind, each.body, meta)
            if meta.controller is not None:
                controllers[meta.uid] = meta.controller.uid
        known = {each.meta.uid for each in self._found.values()}
        for key, found in self._found.items():
            makers = list(_above(found.meta.uid, controllers))
            row: Row | None = usage.holdings.rows.get(key.resource, {}).get(f"{key.namespace}/{key.name}")
            self._cluster.put_saved(key, found.body, row, makers)
            above = found.meta.controller
            if above is not None and above.kind == "ReplicaSet" and above.uid not in known:
                self._note(
                    "ReplicaSets were not saved: pods of Deployments that exist count beside those of the manifests"
                )

    # What is asked.

    def _prepared(self, position: int, written: RawObject) -> tuple[Checked, AdmissionRequest | None]:
        """Return an object as it is told of, and what is asked of it; None if nothing is."""
        namespace = written.namespace or self._author.namespace or _DEFAULT_NAMESPACE
        kind = kind_in_file(written, self._kinds, self._policy)
        if kind is None or not kind.is_stamped:
            return Checked(written, written.namespace, free=self._why_free(written, kind)), None
        if namespace in self._exempt:
            return Checked(written, namespace, free=f"userquota is not asked in namespace {namespace}"), None
        if self._policy.tenants and namespace not in self._namespaces:
            self._note(f"namespace {namespace} is not known: it is taken for one without labels")
        try:
            request = self._request(position, written, kind, namespace)
        except (UncountableError, msgspec.MsgspecError) as error:
            return Checked(written, namespace, unreadable=str(error)), None
        return Checked(written, namespace), request

    def _request(self, position: int, written: RawObject, kind: AnyKind, namespace: str) -> AdmissionRequest:
        """Return what an API server asks of an object. Raises: UncountableError, msgspec.MsgspecError."""
        document: Json = msgspec.json.decode(written.body)
        found = self._found.get(ObjectKey(kind.resource, namespace, written.name))
        stored = None if found is None else msgspec.json.decode(found.body)
        metadata = dict(document.get("metadata") or {})
        for given in ("resourceVersion", "uid", "managedFields"):
            metadata.pop(given, None)
        if stored is None:
            name = metadata.get("name") or f"{written.name or written.kind.lower()}{position}"
            metadata |= {"name": name, "namespace": namespace, "uid": f"new {position}"}
            document = {**document, "metadata": metadata}
        else:
            document = _merged(stored, {**document, "metadata": metadata})
        document = as_stored(kind, document)
        body = msgspec.json.encode(document)
        for shape in (Marked, kind.shape if kind.demand is None else Workload):
            msgspec.json.decode(body, type=shape)
        return AdmissionRequest(
            f"check {position}",
            GroupVersionResource(kind.group, written.api_version.rpartition("/")[2], kind.plural),
            "CREATE" if stored is None else "UPDATE",
            self._author.user,
            namespace=namespace,
            name=document["metadata"]["name"],
            object=Raw(body),
            old_object=Raw(msgspec.json.encode(stored)),
            dry_run=True,
        )

    def _why_free(self, written: RawObject, kind: AnyKind | None) -> str:
        resource = resource_in_file(written) if kind is None else kind.resource
        group = written.api_version.rpartition("/")[0]
        if kind is not None or group in _OF_KUBERNETES or group.endswith(".k8s.io"):
            return f"the policy does not count {resource}"
        return f"unknown kind: the policy does not count {resource}, and pods that are made for it are not judged"

    def _note(self, text: str) -> None:
        self._notes[text] = None


def _judged(checked: Checked, verdict: Verdict) -> Checked:
    """Return an object with its verdict, and with what that leaves open."""
    notes = list(verdict.notes)
    if verdict.workload is not None and verdict.workload.is_later:
        notes.append("its pods are made by a schedule: only what can never fit is told")
    if checked.written.kind == "DaemonSet" and verdict.rooms:
        number = verdict.workload.made.number if verdict.workload is not None else 1
        notes.append(f"it makes a pod on each node: {number} judged")
    if not (verdict.adds or verdict.rooms or verdict.refusals):
        return checked._replace(free="it makes no pods now, and needs no more than it has", notes=tuple(notes))
    return checked._replace(verdict=verdict, notes=tuple(notes))


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
                raise ManifestError(f"{_place(each)}: {error}") from error
            yield each.name, NamespaceFacts(meta.labels or {}, meta.annotations or {})


def _place(each: RawObject) -> str:
    return f"{each.source}:{each.position.line}: {each.kind} {each.name}"


def _above(uid: str, controllers: Mapping[str, str]) -> Iterator[str]:
    """Yield the uids of the controllers above an object, the nearest first."""
    for _ in range(_MOST_MAKERS):
        above = controllers.get(uid)
        if above is None:
            return
        yield above
        uid = above


def _merged(stored: Any, written: Any) -> Any:
    """
    Return what is *stored* once *written* is applied: fields that it does not name stay, and null takes one away.

    Items of a list that have names are merged by name; those that *written* does not have go. The order stays: two
    templates are compared by their texts.
    """
    if isinstance(stored, dict) and isinstance(written, dict):
        both = {**stored, **{name: _merged(stored.get(name), value) for name, value in written.items()}}
        return {name: value for name, value in both.items() if value is not None}
    if isinstance(stored, list) and isinstance(written, list):
        by_name = {each["name"]: each for each in stored if isinstance(each, dict) and "name" in each}
        return [
            _merged(by_name.get(str(each.get("name")), {}), each) if isinstance(each, dict) else each
            for each in written
        ]
    return written
