"""
Classes of nodes, such as those with one model of GPU: which class a node is of, and on which a pod may run.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from webhook.quota import scopes
from webhook.quota.scopes import Scopes

ZONE_LABEL = "topology.kubernetes.io/zone"


class NodeRequirement(NamedTuple):
    """One condition on a label of the node, as `NodeSelectorRequirement` has it."""

    key: str
    operator: str
    values: Sequence[str] = ()

    def holds(self, value: str) -> bool:
        """
        Whether a node holds it whose label has this *value*.

        An operator that is not known here, `Gt` and `Lt` among them, holds for any: the pod may run there.
        """
        match self.operator:
            case "In":
                return value in self.values
            case "NotIn":
                return value not in self.values
            case "DoesNotExist":
                return False
            case _:
                return True


Term = tuple[NodeRequirement, ...]
"""Conditions that all have to hold: of several terms, one is enough."""


@dataclass(frozen=True, slots=True)
class NodeClass:
    """
    Nodes with the labels `match_labels`, and the pods that run there.

    Pods are those that require any of these labels, or ask for one of `devices`, the extended resources of its nodes;
    if it `is_default`, those as well that require the labels of no class.
    """

    name: str
    match_labels: tuple[tuple[str, str], ...]
    devices: frozenset[str] = frozenset()
    is_default: bool = False

    def __str__(self) -> str:
        labels = ",".join(f"{key}={value}" for key, value in self.match_labels)
        devices = f"; {','.join(sorted(self.devices))}" if self.devices else ""
        return f"{labels}{devices}{'; default' if self.is_default else ''}"

    def has(self, labels: Mapping[str, str]) -> bool:
        """Whether a node with these *labels* is of the class."""
        return all(labels.get(key) == value for key, value in self.match_labels)

    def permits(self, term: Term) -> bool:
        """Whether *term* holds for nodes of the class, as far as its labels tell."""
        labels = dict(self.match_labels)
        return all(each.holds(labels[each.key]) for each in term if each.key in labels)

    def is_named_by(self, term: Term) -> bool:
        """Whether *term* asks for a value of a label of the class."""
        labels = dict(self.match_labels)
        return any(each.key in labels and each.operator == "In" for each in term)


@dataclass(frozen=True, slots=True)
class NodeClasses:
    """The classes of a policy, in its order."""

    classes: tuple[NodeClass, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.classes)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the classes."""
        return tuple(each.name for each in self.classes)

    def of_node(self, labels: Mapping[str, str]) -> str:
        """
        Return the class of a node: of several that match the first, so that no node is in two; empty for none.
        """
        return next((each.name for each in self.classes if each.has(labels)), "")

    def of_pod(self, terms: Sequence[Term], devices: Collection[str]) -> Scopes:
        """
        Return the scopes `NodeClass` and `Zone` of a pod that may run where one of *terms* holds, on *devices*.

        A pod that may run on nodes of several classes or zones is in the scope of each: to leave out the model of a GPU
        is no way around a limit on that model. One that requires no class is in the scope without a value, and so is
        one that requires no zone.
        """
        if not self.classes:
            return ()
        return (
            *scopes.valued(scopes.NODE_CLASS, (each.name for each in self._candidates(terms, devices))),
            *scopes.valued(scopes.ZONE, _values_of(ZONE_LABEL, terms)),
        )

    def _candidates(self, terms: Sequence[Term], devices: Collection[str]) -> Iterable[NodeClass]:
        permitted = [each for each in self.classes if any(map(each.permits, terms))]
        with_devices = [each for each in permitted if not each.devices.isdisjoint(devices)]
        named = [each for each in permitted if any(each.permits(term) and each.is_named_by(term) for term in terms)]
        return with_devices or named or [each for each in permitted if each.is_default]


NO_CLASSES = NodeClasses()

ANYWHERE: tuple[Term, ...] = ((),)
"""The terms of a pod that may run on any node."""


def _values_of(key: str, terms: Sequence[Term]) -> set[str]:
    """Return the values that the label *key* may have under *terms*; nothing if one of them asks for none."""
    found: set[str] = set()
    for term in terms:
        asked = [set(each.values) for each in term if each.key == key and each.operator == "In"]
        if not asked:
            return set()
        found |= set.intersection(*asked)
    return found
