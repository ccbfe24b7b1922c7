"""
One stored object and the controllers above it, read live, for `userquota explain KIND/NAME`.
"""

from __future__ import annotations

from dataclasses import dataclass

from webhook.attribution.lineage import named
from webhook.attribution.stamp import carries_stamp, read_maker, read_stamp
from webhook.kinds.evaluator import AnyKind
from webhook.kinds.registry import KINDS
from webhook.kube.api import KubernetesApi
from webhook.kube.object_reads import ObjectReads
from webhook.ports import UnavailableError
from webhook.quota.objects import ObjectMeta, OwnerReference
from webhook.quota.subject import NOBODY, Payer

_MOST_ABOVE = 8
"""Controllers read above an object, as when it is attributed."""


@dataclass(frozen=True, slots=True)
class Controller:
    """A controller above an object: whom its stamp names, None without one; and in words why that is not known."""

    name: str
    payer: Payer | None = None
    unknown: str = ""


@dataclass(frozen=True, slots=True)
class OwnedObject:
    """An object that is stored, and the controllers above it, the next one first."""

    meta: ObjectMeta
    above: tuple[Controller, ...] = ()

    @property
    def payer(self) -> Payer | None:
        """Whom its stamp names, None without one."""
        return read_stamp(self.meta)

    @property
    def maker(self) -> Payer | None:
        """Who pays again once no controller of another owner has it, None for nobody."""
        return read_maker(self.meta)

    @property
    def rule(self) -> str:
        """Return by which rule its owner pays, as far as that can be told from what is stored."""
        payer = self.payer
        if payer is None:
            what = "its stamp is none that userquota writes" if carries_stamp(self.meta) else "it has no stamp"
            return f"{what}: it is older than userquota, or was made past it, and counts as unattributed"
        if payer == NOBODY:
            return "its stamp: it was made for an object that nobody is known to own, and counts as unattributed"
        if self.maker is not None:
            return f"its stamp: it follows its controller; {self.maker.owner} made it, and pays again without that"
        paid = next((each for each in self.above if each.payer not in (None, NOBODY)), None)
        if paid is None or paid.payer is None:
            return "its stamp: who made it, or got it handed over, pays until it is gone"
        if paid.payer.owner == payer.owner:
            return f"its stamp: the owner of {paid.name}, for which it was made"
        return f"its stamp: who made it pays until it is gone, whoever owns {paid.name}"


async def read_object(api: KubernetesApi, kind: AnyKind, namespace: str, name: str) -> OwnedObject | None:
    """Return the object with what is above it, None if it is not stored. Raises: UnavailableError."""
    reads = ObjectReads(api, KINDS)
    meta = await reads.read(kind, namespace, name)
    return None if meta is None else OwnedObject(meta, await _above(reads, meta.controller, namespace))


async def _above(reads: ObjectReads, reference: OwnerReference | None, namespace: str) -> tuple[Controller, ...]:
    found: list[Controller] = []
    while reference is not None and len(found) < _MOST_ABOVE:
        name, kind = named(reference), KINDS.of_owner(reference.api_version, reference.kind)
        if kind is None:
            found.append(Controller(name, unknown="not read: userquota knows no such kind without a policy"))
            break
        try:
            meta = await reads.read(kind, namespace, reference.name)
        except UnavailableError as error:
            found.append(Controller(name, unknown=str(error)))
            break
        if meta is None or meta.uid != reference.uid:
            found.append(Controller(name, unknown="it does not exist any more"))
            break
        found.append(Controller(name, read_stamp(meta)))
        reference = meta.controller
    return tuple(found)
