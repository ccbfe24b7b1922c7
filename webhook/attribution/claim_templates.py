"""
Find the StatefulSet that a claim was made for. Its controller sets no owner reference on claims unless told to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from msgspec import Raw

from webhook.kinds.registry import Registry
from webhook.kinds.workloads import Ordinals
from webhook.ports import Ancestry
from webhook.quota import subject
from webhook.quota.objects import NOTHING, ObjectMeta, Shape

CONTROLLER = subject.controller("statefulset-controller")
_MOST_READ = 32
"""
StatefulSets read for one claim: a name of many hyphens can be read in as many ways, and each costs a request. The name
of a template has at most 63 characters, thus 32 parts.
"""

_LONGEST_ORDINAL = 20
"""Digits. No StatefulSet has so many pods."""


class MadeClaim(NamedTuple):
    """A claim that the controller of StatefulSets makes: its name, its labels, its storage as written in JSON."""

    name: str
    labels: Mapping[str, str] = {}
    storage: str = ""


class _LabelledMeta(Shape, frozen=True):
    name: str = ""
    labels: dict[str, str] | None = None


class _Resources(Shape, frozen=True):
    requests: dict[str, Raw] | None = None


class ClaimSpec(Shape, frozen=True):
    """What a claim asks for."""

    resources: _Resources = _Resources()

    @property
    def storage(self) -> str:
        """Return the storage that it asks for, as it is written in JSON; empty if it asks for none."""
        return bytes((self.resources.requests or {}).get("storage", NOTHING)).decode(errors="backslashreplace")


class ClaimTemplate(Shape, frozen=True):
    """What of a claim template tells its claims from those of others."""

    metadata: _LabelledMeta = _LabelledMeta()
    spec: ClaimSpec = ClaimSpec()


class _Selector(Shape, frozen=True):
    match_labels: dict[str, str] | None = None


class _Spec(Shape, frozen=True):
    volume_claim_templates: list[ClaimTemplate] | None = None
    replicas: int | None = None
    ordinals: Ordinals | None = None
    selector: _Selector = _Selector()


class StatefulSet(Shape, frozen=True):
    """A StatefulSet with its claim templates."""

    metadata: ObjectMeta = ObjectMeta()
    spec: _Spec = _Spec()

    def has_template(self, name: str) -> bool:
        """Whether it makes claims of the template *name*."""
        return any(each.metadata.name == name for each in self.spec.volume_claim_templates or ())

    def has_ordinal(self, number: int) -> bool:
        """Whether it has a pod of this *number*, as it is asked for now; while it is scaled down it may still."""
        start = self.spec.ordinals.start if self.spec.ordinals is not None else 0
        return start <= number < start + (1 if self.spec.replicas is None else self.spec.replicas)

    def labels_of(self, template: ClaimTemplate) -> Mapping[str, str]:
        """Return the labels of a claim of *template*: those of the selector in the place of the template's own."""
        return {**(template.metadata.labels or {}), **(self.spec.selector.match_labels or {})}

    def makes(self, claim: str) -> bool:
        """Whether it makes claims of the name *claim*. Another StatefulSet may do so, too."""
        return any(
            name == self.metadata.name and self.has_template(template) for template, name in _possible_makers(claim)
        )


async def stateful_set_of(
    claim: MadeClaim, namespace: str, *, ancestry: Ancestry, kinds: Registry
) -> StatefulSet | None:
    """
    Return the StatefulSet that makes *claim*, None if there is none.

    Two with such names can both have the template. The one that has a pod of the claim's number, and would write
    exactly its labels and its size, is returned; of several such, which share the claim, the one with the longer name.
    Raises: UnavailableError.
    """
    kind = kinds.of_object("apps/v1", "StatefulSet")
    if kind is None:
        return None
    makers = []
    for template, name in _possible_makers(claim.name):
        found = await ancestry.read_whole(kind, namespace, name, StatefulSet)
        listed = () if found is None else (found.spec.volume_claim_templates or ())
        makers += [(found, each) for each in listed if found is not None and each.metadata.name == template]
    if len(makers) > 1:
        number = int(claim.name.rpartition("-")[2])
        makers = [each for each in makers if each[0].has_ordinal(number)] or makers
        makers = [(one, each) for one, each in makers if one.labels_of(each) == claim.labels] or makers
        makers = [(one, each) for one, each in makers if each.spec.storage == claim.storage] or makers
    return makers[0][0] if makers else None


def _possible_makers(claim: str) -> Iterator[tuple[str, str]]:
    """Yield template and StatefulSet for each way to read a claim's name as `<template>-<set>-<ordinal>`."""
    pair, _, ordinal = claim.rpartition("-")
    if not (ordinal.isascii() and ordinal.isdecimal() and len(ordinal) < _LONGEST_ORDINAL):
        return
    parts = pair.split("-")
    for length in range(1, min(len(parts), _MOST_READ + 1)):
        yield "-".join(parts[:length]), "-".join(parts[length:])
