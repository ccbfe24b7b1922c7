"""
Whether manifests would fit: each becomes the request that an API server would make of it, and all are decided together.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import msgspec
from msgspec import Raw

from webhook.admission.advice import WorkloadAdvice
from webhook.admission.claim_templates import WithTemplates, claim_templates
from webhook.admission.filling import filled_by_plugins
from webhook.admission.handler import AdmissionHandler
from webhook.admission.reading import Marked
from webhook.admission.review import AdmissionRequest
from webhook.admission.together import decide_together
from webhook.admission.verdicts import Left, Verdict
from webhook.documents.manifest_notes import misspelt_kind, notes_on
from webhook.documents.object_text import RawObject
from webhook.kinds.as_stored import as_stored
from webhook.kinds.evaluator import NO_DEFAULTS, AnyKind, UncountableError
from webhook.kinds.pod_shapes import Pod
from webhook.kinds.pods import PODS
from webhook.kinds.workloads import Workload
from webhook.quota.errors import WebhookError
from webhook.quota.objects import GroupVersionResource, UserInfo
from webhook.quota.usage import UsageIndex

Json = dict[str, Any]

_DEFAULT_NAMESPACE = "default"


class NoVerdictError(WebhookError):
    """Nothing is said of an object. The message says why, to its author."""


class TooManyError(WebhookError):
    """More objects than are decided in one step."""


class TargetCluster(Protocol):
    """The cluster that manifests are meant for, as far as their author may know it."""

    def kind_of(self, written: RawObject) -> AnyKind | None:
        """Return the kind of an object, None for one that is not counted."""
        ...

    def is_exempt(self, namespace: str) -> bool:
        """Whether no API server asks userquota about objects in *namespace*."""
        ...

    def remark_on(self, namespace: str) -> str:
        """Return what is not known of a namespace, empty if nothing."""
        ...

    async def stored(self, kind: AnyKind, namespace: str, name: str) -> bytes | None:
        """
        Return the object of that name as it is stored; None if there is none, and for an empty name.

        Raises: NoVerdictError if the author may not submit such an object there; UnavailableError.
        """
        ...


class Author(NamedTuple):
    """Who submits the manifests; *namespace* is that of objects that name none."""

    user: UserInfo
    namespace: str = ""


class Checked(NamedTuple):
    """
    One object, and what it comes to. `free` says why it costs nothing, `unjudged` why there is no verdict on it.
    """

    written: RawObject
    namespace: str
    verdict: Verdict | None = None
    free: str = ""
    unjudged: str = ""
    notes: tuple[str, ...] = ()


class Check(NamedTuple):
    """What becomes of all objects, what is left of the limits on them, and what the answer leaves open."""

    objects: tuple[Checked, ...]
    left: tuple[Left, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ManifestCheck:
    """
    Checks the manifests of one author for one cluster, with the code and the usage that answer its reviews.

    *index* is the one that the ledger of *handler* decides on. Nothing is held afterwards. At most *most* objects that
    count are decided together.
    """

    handler: AdmissionHandler
    advice: WorkloadAdvice
    index: UsageIndex
    cluster: TargetCluster
    author: Author
    most: int = sys.maxsize

    async def of(self, objects: Sequence[RawObject], *, deadline: float) -> Check:
        """
        Return whether *objects* fit, one after another. One whose name is taken is applied to what is stored.

        *deadline* is on the monotonic clock. Raises: TooManyError; UnavailableError; ReviewError and
        UncountableError for what no API server sends.
        """
        checked: list[Checked] = []
        requests: list[AdmissionRequest] = []
        asked: list[int] = []
        notes: dict[str, None] = {}
        kinds = [self.cluster.kind_of(each) for each in objects]
        if (number := sum(each is not None and each.is_stamped for each in kinds)) > self.most:
            raise TooManyError(f"{number} objects that count, and at most {self.most} are decided together")
        for position, (written, kind) in enumerate(zip(objects, kinds, strict=True)):
            namespace = written.namespace or self.author.namespace or _DEFAULT_NAMESPACE
            if kind is None and (why := misspelt_kind(written, self.handler.kinds)):
                checked.append(Checked(written, written.namespace, unjudged=why))
                continue
            if kind is None or not kind.is_stamped:
                free = f"the policy does not count {written.resource if kind is None else kind.resource}"
                checked.append(Checked(written, written.namespace, free=free, notes=notes_on(written, kind)))
                continue
            found = Checked(written, namespace)
            if self.cluster.is_exempt(namespace):
                checked.append(found._replace(free=f"userquota is not asked in namespace {namespace}"))
                continue
            if remark := self.cluster.remark_on(namespace):
                notes[remark] = None
            try:
                requests.append(await self._request(position, written, kind, namespace))
            except (NoVerdictError, UncountableError, msgspec.MsgspecError) as error:
                found = found._replace(unjudged=str(error))
            else:
                asked.append(position)
                found = found._replace(notes=notes_on(written, kind))
            checked.append(found)
            await asyncio.sleep(0)  # reviews come first
        templates = claim_templates(objects, otherwise=self.author.namespace or _DEFAULT_NAMESPACE)
        advice = replace(self.advice, ancestry=WithTemplates(self.advice.ancestry, templates))
        came = await decide_together(self.handler, advice, requests, index=self.index, deadline=deadline)
        for position, verdict in zip(asked, came.verdicts, strict=True):
            adds = tuple(each for each in verdict.adds if self._is_told(each[0]))
            checked[position] = _judged(checked[position], replace(verdict, adds=adds))
        return Check(tuple(checked), came.left, tuple(notes))

    def _is_told(self, name: str) -> bool:
        """Whether to say how much is added: of objects by number not where only an earlier policy has limited them."""
        counted = name.removeprefix("count/")
        if counted == name or counted in self.handler.policies.current().counted:
            return True
        return any(each.resource == counted for each in self.handler.kinds.charged)

    async def _request(self, position: int, written: RawObject, kind: AnyKind, namespace: str) -> AdmissionRequest:
        """
        Return what an API server asks of an object.

        Raises: NoVerdictError, UncountableError, msgspec.MsgspecError, UnavailableError.
        """
        document: Json = msgspec.json.decode(written.body)
        metadata = dict(document.get("metadata") or {})
        body = await self.cluster.stored(kind, namespace, metadata.get("name") or "")
        stored = None if body is None else msgspec.json.decode(body)
        for given in ("resourceVersion", "uid", "managedFields"):
            metadata.pop(given, None)
        defaults = NO_DEFAULTS
        if stored is None:
            name = metadata.get("name") or f"{written.name or written.kind.lower()}{position}"
            metadata |= {"name": name, "namespace": namespace, "uid": f"new {position}"}
            document = {**document, "metadata": metadata}
            if kind.resource == PODS.resource:
                spec = msgspec.json.decode(written.body, type=Pod).spec
                policy = self.handler.policies.current()
                ranges, classes = self.handler.limit_ranges, self.handler.classes
                defaults = await filled_by_plugins(ranges, classes, namespace, [spec], policy)
        else:
            document = _merged(stored, {**document, "metadata": metadata})
        document = as_stored(kind, document, defaults)
        encoded = msgspec.json.encode(document)
        for shape in (Marked, kind.shape if kind.demand is None else Workload):
            msgspec.json.decode(encoded, type=shape)
        return AdmissionRequest(
            f"check {position}",
            GroupVersionResource(kind.group, written.version, kind.plural),
            "CREATE" if stored is None else "UPDATE",
            self.author.user,
            namespace=namespace,
            name=document["metadata"]["name"],
            object=Raw(encoded),
            old_object=Raw(msgspec.json.encode(stored)),
            dry_run=True,
        )


def _judged(checked: Checked, verdict: Verdict) -> Checked:
    """Return an object with its verdict, and with what that leaves open."""
    notes = [*checked.notes, *verdict.notes]
    if verdict.workload is not None and verdict.workload.is_later:
        notes.append("its pods are made by a schedule: only what can never fit is told")
    if checked.written.kind == "DaemonSet" and verdict.rooms:
        number = verdict.workload.fitting.number if verdict.workload is not None else 1
        notes.append(f"it makes a pod on each node: {number} judged")
    if not (verdict.adds or verdict.rooms or verdict.refusals):
        return checked._replace(free="it makes no pods now, and needs no more than it has", notes=tuple(notes))
    return checked._replace(verdict=verdict, notes=tuple(notes))


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
