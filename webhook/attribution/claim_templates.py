"""
Find the StatefulSet that a claim was made for. Its controller sets no owner reference on claims unless told to.
"""

from __future__ import annotations

from collections.abc import Iterator

from webhook.kinds.registry import Registry
from webhook.ports import Ancestry
from webhook.quota import subject
from webhook.quota.objects import ObjectMeta, Shape

CONTROLLER = subject.controller("statefulset-controller")
_MOST_READ = 16
"""StatefulSets read for one claim: a name of many hyphens can be read in as many ways, and each costs a request."""


class _Template(Shape, frozen=True):
    metadata: ObjectMeta = ObjectMeta()


class _Spec(Shape, frozen=True):
    volume_claim_templates: list[_Template] | None = None


class StatefulSet(Shape, frozen=True):
    """A StatefulSet with its claim templates."""

    metadata: ObjectMeta = ObjectMeta()
    spec: _Spec = _Spec()

    def has_template(self, name: str) -> bool:
        """Whether it makes claims of the template *name*."""
        return any(each.metadata.name == name for each in self.spec.volume_claim_templates or ())

    def makes(self, claim: str) -> bool:
        """Whether it makes claims of the name *claim*. Another StatefulSet may do so, too."""
        return any(
            name == self.metadata.name and self.has_template(template) for template, name in _possible_makers(claim)
        )


async def stateful_set_of(claim: str, namespace: str, *, ancestry: Ancestry, kinds: Registry) -> StatefulSet | None:
    """
    Return the StatefulSet that makes a claim of this name, None if there is none.

    Two with such names can both make it; they then share the claim, and the one with the longer name is returned.
    Raises: UnavailableError.
    """
    kind = kinds.of_object("apps/v1", "StatefulSet")
    if kind is None:
        return None
    for template, name in _possible_makers(claim):
        found = await ancestry.read_whole(kind, namespace, name, StatefulSet)
        if found is not None and found.has_template(template):
            return found
    return None


def _possible_makers(claim: str) -> Iterator[tuple[str, str]]:
    """Yield template and StatefulSet for each way to read a claim's name as `<template>-<set>-<ordinal>`."""
    pair, _, ordinal = claim.rpartition("-")
    if not (ordinal.isascii() and ordinal.isdecimal()):
        return
    parts = pair.split("-")
    for length in range(1, min(len(parts), _MOST_READ + 1)):
        yield "-".join(parts[:length]), "-".join(parts[length:])
