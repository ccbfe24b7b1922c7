"""
What attribution answers: the payer of an object and the stamp that it must carry, or why the request is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from webhook.attribution.stamp import has_stamp, read_maker, read_stamp
from webhook.quota.objects import ObjectMeta, OwnerReference
from webhook.quota.subject import NOBODY, Payer


@dataclass(frozen=True, slots=True)
class Attributed:
    """
    The payer, and a short text on how it was found.

    `stamp` is the stamp that the object must carry: None for an unstamped object, which an update does not stamp.
    `maker` is who pays again when a workload that follows the owner of its controller is released by it.
    `left_out` counts the payer's groups left out of the stamp for its size; the policy names none of them.
    `above` is the controller on top of the object, as far up as was read to find the payer; None if nothing was.
    """

    payer: Payer
    found_by: str
    stamp: Payer | None
    left_out: int = 0
    maker: Payer | None = None
    above: OwnerReference | None = field(default=None, compare=False)

    def accepts(self, meta: ObjectMeta) -> bool:
        """
        Whether an object carries the right stamp.

        If groups were left out, a policy replaced a moment ago may have named other groups. Then the stamp must contain
        every group that the policy names now, and only groups of the payer.
        """
        if has_stamp(meta, self.stamp, self.maker):
            return True
        carried = read_stamp(meta)
        if not self.left_out or self.stamp is None or carried is None or carried.owner != self.payer.owner:
            return False
        if read_maker(meta) != self.maker:
            return False
        return set(self.stamp.groups) <= set(carried.groups) <= set(self.payer.groups)


@dataclass(frozen=True, slots=True)
class Refused:
    """The request would forge or break the attribution. `message` gives the reason."""

    message: str


def made_for(name: str, owner: Payer | None, *, above: OwnerReference | None = None) -> Attributed:
    """Return that the *owner* of the object *name* pays for what is made for it; nobody, if it has none."""
    if owner is None:
        return Attributed(NOBODY, f"{name} has no owner", NOBODY, above=above)
    return Attributed(owner, f"owner of {name}", owner, above=above)
