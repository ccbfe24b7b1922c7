"""
Notes on an object of a manifest that is valid and surely not meant, or that nobody knows: it would cost nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from webhook.documents.object_text import RawObject
from webhook.kinds.evaluator import AnyKind
from webhook.kinds.misspelt_fields import misspelt_fields
from webhook.kinds.registry import Registry

_CORE: Final = (
    "Binding ComponentStatus ConfigMap Endpoints Event LimitRange Namespace Node PersistentVolume "
    "PersistentVolumeClaim Pod PodTemplate ReplicationController ResourceQuota Secret Service ServiceAccount"
)
_OF_KUBERNETES: Final[Mapping[str, frozenset[str]]] = {
    "": frozenset(_CORE.split()),
    "apps": frozenset(("ControllerRevision", "DaemonSet", "Deployment", "ReplicaSet", "StatefulSet")),
    "autoscaling": frozenset(("HorizontalPodAutoscaler", "Scale")),
    "batch": frozenset(("CronJob", "Job")),
    "policy": frozenset(("Eviction", "PodDisruptionBudget")),
}
"""Kinds of groups that nobody adds any to; other groups of Kubernetes end in `.k8s.io`."""


def misspelt_kind(written: RawObject, kinds: Registry) -> str:
    """Return what is wrong with the kind of an object that *kinds* do not have; empty if that may be another one."""
    meant = kinds.meant_by(written.group, written.kind)
    return "" if meant is None else f"there is no such kind in {written.api_version}, did you mean {meant.kind}?"


def misspelt_in(written: RawObject) -> tuple[str, ...]:
    """Return a note on each field of an object that is surely misspelt. What cannot be read is told where it counts."""
    try:
        return tuple(misspelt_fields(msgspec.json.decode(written.body)))
    except (msgspec.MsgspecError, RecursionError):
        return ()


def notes_on(written: RawObject, kind: AnyKind | None) -> tuple[str, ...]:
    """Return all notes on an object of *kind*, None for one that is neither charged nor limited."""
    is_known = written.group.endswith(".k8s.io") or written.kind in _OF_KUBERNETES.get(written.group, ())
    if kind is None and not is_known:
        return ("userquota does not know this kind, nor the pods that are made for it",)
    return misspelt_in(written)
