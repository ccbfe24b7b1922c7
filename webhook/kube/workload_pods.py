"""
The pods of a workload, found by its selector and confirmed by the UIDs in controller references, and their claims for
devices; the pods of a session, by labels alone.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from urllib.parse import quote

import msgspec
from msgspec import Raw

from webhook.kinds.evaluator import AnyKind
from webhook.kinds.pods import PODS
from webhook.kinds.registry import Registry
from webhook.kinds.resource_claims import RESOURCE_CLAIMS, pod_of
from webhook.kube.api import UNREADABLE, ApiError, KubernetesApi
from webhook.kube.object_list import METADATA_LIST, Page
from webhook.ports import Ancestry, UnavailableError
from webhook.quota.objects import ObjectMeta, OwnerReference, Shape

_TIMEOUT = 2.0
"""Seconds: whoever edits a workload waits for the answer, and goes on without it."""

_MOST_MAKERS = 32
"""Controllers between a workload and its pods that are read: a Deployment has pods of a few ReplicaSets at a time."""


class LabelRequirement(Shape, frozen=True):
    """`LabelSelectorRequirement`."""

    key: str = ""
    operator: str = ""
    values: list[str] | None = None

    def __str__(self) -> str:
        """Return it as a query writes it."""
        match self.operator:
            case "Exists":
                return self.key
            case "DoesNotExist":
                return f"!{self.key}"
            case _:
                return f"{self.key} {self.operator.lower()} ({','.join(self.values or ())})"


class LabelSelector(Shape, frozen=True):
    """`LabelSelector`."""

    match_labels: dict[str, str] | None = None
    match_expressions: list[LabelRequirement] | None = None


_LABEL_VALUE = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?", re.ASCII)
"""What no pod can have as a label says nothing of any, and is not asked for: names may be longer."""

_decoder = msgspec.json.Decoder(Page, strict=False)  # a version is a number in a string
_selector_decoder = msgspec.json.Decoder(LabelSelector)
_RUNNING = "status.phase!=Succeeded,status.phase!=Failed"
_labels_decoder = msgspec.json.Decoder(dict[str, str])


class WorkloadPods:
    """Port `PodsOfWorkloads`. Reads the API server's cache: the answer may be older than a moment."""

    def __init__(self, api: KubernetesApi, ancestry: Ancestry, kinds: Registry) -> None:
        """List pods through *api*; the controllers in between are of *kinds*, and read from *ancestry*."""
        self._api = api
        self._ancestry = ancestry
        self._kinds = kinds

    async def names(self, namespace: str, uid: str, selector: Raw) -> tuple[str, ...]:
        """Return the pods of a workload, or those that a new one adopts. See `PodsOfWorkloads.names`."""
        query = _query(selector)
        if not query:  # it selects nothing, or every pod there is
            return ()
        found = await self._list(PODS, namespace, labelSelector=query)
        makers = {each.controller for each in found if each.controller is not None}
        others = [each for each in makers if each.uid != uid][:_MOST_MAKERS]
        is_its = await asyncio.gather(*(self._is_made_for(each, namespace, uid) for each in others))
        own = {uid, *(each.uid for each, is_one in zip(others, is_its, strict=True) if is_one)}
        return tuple(each.name for each in found if _uid(each.controller) in own)

    async def labelled(self, namespace: str, labels: Iterable[Sequence[tuple[str, str]]]) -> tuple[str, ...]:
        """Return the names of the pods with these labels that have not ended. See `PodsOfWorkloads.labelled`."""
        possible = [each for each in labels if all(_LABEL_VALUE.fullmatch(value) for _, value in each)]
        queries = {",".join(f"{key}={value}" for key, value in each) for each in possible}
        reads = (self._list(PODS, namespace, labelSelector=each, fieldSelector=_RUNNING) for each in queries if each)
        found = await asyncio.gather(*reads)
        return tuple({each.name for metas in found for each in metas})

    async def device_claims(self, namespace: str, pods: Collection[str]) -> tuple[str, ...]:
        """Return the claims for devices of *pods*. See `PodsOfWorkloads.device_claims`."""
        if not pods:
            return ()
        wanted = frozenset(pods)
        return tuple(each.name for each in await self._list(RESOURCE_CLAIMS, namespace) if pod_of(each) in wanted)

    async def _list(self, kind: AnyKind, namespace: str, **selectors: str) -> list[ObjectMeta]:
        path = kind.collection_in(quote(namespace, safe=""))
        asked = {**selectors, "resourceVersion": "0"}
        try:
            body = await self._api.get(path, query=asked, accept=METADATA_LIST, timeout=_TIMEOUT)
            return [each.metadata for each in _decoder.decode(body).items or ()]
        except (ApiError, *UNREADABLE) as error:
            why = f"the {kind.plural} of the workload could not be listed: {error}"
            raise UnavailableError("api-server", why) from error

    async def _is_made_for(self, reference: OwnerReference, namespace: str, uid: str) -> bool:
        kind = self._kinds.of_owner(reference.api_version, reference.kind)
        meta = await self._ancestry.read(kind, namespace, reference.name) if kind is not None else None
        return meta is not None and meta.uid == reference.uid and _uid(meta.controller) == uid


def _uid(reference: OwnerReference | None) -> str:
    return "" if reference is None else reference.uid


def _query(selector: Raw) -> str:
    """Return a selector as the text of a query; empty for none, or for one that cannot be read."""
    try:
        read = _selector_decoder.decode(selector)
        labels = read.match_labels or {}
        if not labels and not read.match_expressions:
            labels = _labels_decoder.decode(selector)
    except UNREADABLE:
        return ""
    return ",".join(_terms(labels, read))


def _terms(labels: dict[str, str], selector: LabelSelector) -> Iterator[str]:
    yield from (f"{key}={value}" for key, value in sorted(labels.items()))
    yield from map(str, selector.match_expressions or ())
