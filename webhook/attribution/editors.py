"""
Who pays for what a workload makes after a person has edited it, where the policy has its last editor pay.

Nobody can make another person pay by it: only who edits becomes the payer, and what a person cannot pay for themselves
they cannot have another one pay for either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from webhook.attribution.answers import Attributed, Refused
from webhook.attribution.identities import Identities
from webhook.attribution.lineage import Lineage, known_owner, named
from webhook.kinds.evaluator import AnyKind
from webhook.ports import PolicySource
from webhook.quota.objects import ObjectMeta, OwnerReference, UserInfo
from webhook.quota.policy import WorkloadPayer
from webhook.quota.presets import PER_SESSION
from webhook.quota.subject import SERVICE_ACCOUNT_PREFIX, Payer

_EDITED = "changed it last"


class Editors:
    """Tells which users become payers by an edit, and of what."""

    def __init__(self, policies: PolicySource, *, identities: Identities, lineage: Lineage) -> None:
        """Read the controllers of what is edited by *lineage*."""
        self._policies = policies
        self._identities = identities
        self._lineage = lineage

    def pays(self, user: UserInfo, kind: AnyKind, namespace: str, *, is_exempt: Callable[[], bool]) -> bool:
        """
        Whether *user* pays for what objects of *kind* make once they have edited them.

        Only a person does, under a policy that says so: no controller, no account, no delegate, who acts for others,
        and nobody whom an exemption names, or what they make would be bound by no limit.
        """
        policy = self._policies.current()
        if policy.workload_payer is WorkloadPayer.MAKER or not (kind.demand is not None or kind.cap == PER_SESSION):
            return False
        if user.username.startswith(SERVICE_ACCOUNT_PREFIX) or user.username in policy.delegates:
            return False
        return self._identities.is_person(user, namespace) and not is_exempt()

    async def of_edited(
        self, user: UserInfo, kind: AnyKind, old: ObjectMeta, new: ObjectMeta, namespace: str
    ) -> Attributed | Refused:
        """
        Return *user* as the payer of a workload or session that they edit.

        Refused where it belongs to the workload of another person: it follows the owner of that one, who would pay for
        what *user* has made of it. Raises: UnavailableError.
        """
        for above in _controllers(old, new):
            found = await self._lineage.owner_above(above, namespace)
            if isinstance(found, Payer) and found.owner != user.username:
                return Refused(
                    f"{found.owner} pays for what {named(above)} makes, and {kind.plural} {new.name} is part of that; "
                    f"change {named(above)} itself, and pay for it from then on"
                )
        return self._identities.as_payer(user, _EDITED)

    async def refuse_scale(
        self, user: UserInfo, kind: AnyKind, meta: ObjectMeta, namespace: str, *, is_exempt: Callable[[], bool]
    ) -> Refused | None:
        """
        Return why *user* may not give an object more replicas through its scale: that stamps nothing, and another
        person would pay for them. None if they may, or if nobody would pay. Raises: UnavailableError.
        """
        if not self.pays(user, kind, namespace, is_exempt=is_exempt):
            return None
        payer: object = known_owner(meta)
        if payer is None and meta.controller is not None:
            payer = await self._lineage.owner_above(meta.controller, namespace)
        if not isinstance(payer, Payer) or payer.owner == user.username:
            return None
        return Refused(
            f"{payer.owner} pays for {kind.plural} {meta.name}, and would pay for more; to pay for it yourself, change "
            f"the object instead of its scale: kubectl edit {kind.plural} {meta.name} -n {namespace}"
        )


def _controllers(*objects: ObjectMeta) -> Iterable[OwnerReference]:
    """Return the controllers of an object before and after a request, each once."""
    return {each.controller.uid: each.controller for each in objects if each.controller is not None}.values()
