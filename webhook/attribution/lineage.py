"""
The known owner above an object: up the chain of controller references, each read live by name and uid.
"""

from __future__ import annotations

from dataclasses import dataclass

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
        for _ in range(_MAX_CHAIN):
            kind = self._kinds.of_owner(reference.api_version, reference.kind)
            if kind is None:
                return None
            meta = await self._ancestry.read(kind, namespace, reference.name)
            if meta is None or meta.uid != reference.uid:
                return Missing(reference)
            stamp = known_owner(meta)
            if stamp is not None:
                return stamp
            if meta.controller is None:
                return None
            reference = meta.controller
        return None

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
