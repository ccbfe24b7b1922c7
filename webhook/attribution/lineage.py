"""
The known owner above an object: up the chain of controller references, each read live by name and uid.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from webhook.attribution.stamp import read_stamp
from webhook.kinds.evaluator import AnyKind
from webhook.kinds.registry import Registry
from webhook.ports import Ancestry
from webhook.quota.objects import ObjectMeta, OwnerReference
from webhook.quota.subject import NOBODY, Payer

_MAX_CHAIN = 8
"""Owners read per object. CronJob, Job, Pod is a chain of three; one longer than this is a loop or made on purpose."""


@dataclass(frozen=True, slots=True)
class Missing:
    """A controller reference to an object that does not exist."""

    reference: OwnerReference


class Above(NamedTuple):
    """
    What is above an object: the first known owner, or a controller that does not exist; None if the chain ends first,
    leaves the kinds that we know, or is too long.

    `top` is the last reference met. It is itself not read where a stamp was found below it, where we do not know its
    kind, and where the chain is too long: nothing vouches for it.
    """

    owner: Payer | Missing | None
    top: OwnerReference


class Lineage:
    """Reads owners live: a cached one could be of an earlier object of the same name."""

    def __init__(self, ancestry: Ancestry, *, kinds: Registry) -> None:
        """Read objects of *kinds* that have makers, from *ancestry*."""
        self._ancestry = ancestry
        self._kinds = kinds

    async def owner_above(self, reference: OwnerReference, namespace: str) -> Payer | Missing | None:
        """
        Return the first known owner up the chain of controller references, None if the chain ends without one.

        An unattributed object is passed by: what is above it may have been taken over since.
        """
        return (await self.above(reference, namespace)).owner

    async def above(self, reference: OwnerReference, namespace: str) -> Above:
        """Return the owner as `owner_above`, and the controller on top of what was read."""
        for _ in range(_MAX_CHAIN):
            kind = self._kinds.of_owner(reference.api_version, reference.kind)
            if kind is None:
                return Above(None, reference)
            meta = await self._ancestry.read(kind, namespace, reference.name)
            if meta is None or meta.uid != reference.uid:
                return Above(Missing(reference), reference)
            top = meta.controller or reference
            stamp = known_owner(meta)
            if stamp is not None or meta.controller is None:
                return Above(stamp, top)
            reference = top
        return Above(None, reference)

    async def is_paid_above(self, kind: AnyKind, above: OwnerReference | None, namespace: str) -> bool:
        """Whether what a workload makes is paid by the owner of its controller. Other objects pay for themselves."""
        if kind.demand is None or above is None:
            return False
        return isinstance(await self.owner_above(above, namespace), Payer)


def known_owner(meta: ObjectMeta) -> Payer | None:
    """Return the payer in the stamp of an object; None for no stamp, and for that of an unattributed object."""
    stamp = read_stamp(meta)
    return None if stamp == NOBODY else stamp


def named(reference: OwnerReference) -> str:
    """Return the object that *reference* leads to, for people: `ReplicaSet web`."""
    return f"{reference.kind} {reference.name}"
