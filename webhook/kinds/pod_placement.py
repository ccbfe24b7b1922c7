"""
Where a pod may run, by its node selector and its node affinity: the terms that `quota.node_classes` compares.

Source: `GetRequiredNodeAffinity` of k8s.io/component-helpers, Kubernetes 1.37.2.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from msgspec import Raw

from webhook.kinds.pod_shapes import NodeAffinity, Pod, Resources
from webhook.quota import resources
from webhook.quota.node_classes import NodeClasses, NodeRequirement, Term
from webhook.quota.scopes import Scopes

_selector = msgspec.json.Decoder(dict[str, str] | None)
_affinity = msgspec.json.Decoder(NodeAffinity | None)
_resources = msgspec.json.Decoder(Resources | None)
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError)


def scopes_of(pod: Pod, classes: NodeClasses) -> Scopes:
    """
    Return the scopes of the classes and zones where *pod* may run.

    What cannot be read, which no API server stores, asks for nothing: the pod may run anywhere then.
    """
    return classes.of_pod(_terms(pod), frozenset(_devices(pod))) if classes else ()


def _terms(pod: Pod) -> tuple[Term, ...]:
    selected = tuple(NodeRequirement(key, "In", (value,)) for key, value in _selected(pod.spec.node_selector).items())
    required = _required(pod)
    if required is None:
        return (selected,)
    return tuple((*selected, *term) for term in required)


def _selected(raw: Raw) -> dict[str, str]:
    try:
        return (_selector.decode(raw) if bytes(raw) else None) or {}
    except _UNREADABLE:
        return {}


def _required(pod: Pod) -> list[Term] | None:
    """Return the terms of its node affinity, None if it has none. A term without conditions holds for no node."""
    affinity = pod.spec.affinity
    if affinity is None or not bytes(affinity.node_affinity):
        return None
    try:
        decoded = _affinity.decode(affinity.node_affinity)
    except _UNREADABLE:
        return None
    required = decoded.required_during_scheduling_ignored_during_execution if decoded is not None else None
    if required is None:
        return None
    return [
        tuple(NodeRequirement(each.key, each.operator, each.values or ()) for each in term.match_expressions or ())
        for term in required.node_selector_terms or ()
    ]


def _devices(pod: Pod) -> Iterator[str]:
    """Yield the extended resources that its containers ask for."""
    for container in (*(pod.spec.containers or ()), *(pod.spec.init_containers or ())):
        try:
            asked = _resources.decode(container.resources) if bytes(container.resources) else None
        except _UNREADABLE:
            continue
        for listed in (asked.requests, asked.limits) if asked is not None else ():
            yield from (name for name in listed or () if resources.is_extended(name))
