"""
Who pays for an object that is created, by the rules of docs/attribution.md in their order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from webhook.attribution import claim_templates
from webhook.attribution.answers import Attributed, Refused, made_for
from webhook.attribution.identities import Identities, is_controller
from webhook.attribution.lineage import Lineage, Missing, known_owner, named
from webhook.attribution.stamp import read_stamp
from webhook.kinds.evaluator import AnyKind, UncountableError
from webhook.kinds.registry import Registry
from webhook.ports import Ancestry, Namespaces, PolicySource
from webhook.quota.delegation import Texts, first_named, is_person
from webhook.quota.objects import ObjectMeta, OwnerReference, Shape, UserInfo
from webhook.quota.subject import NOBODY, SERVICE_ACCOUNT_PREFIX, Payer


class Written(Shape, frozen=True):
    """
    All labels and annotations of an object: a delegate may name who pays in any of them.

    `storage` is what a claim asks for, as it is written in JSON.
    """

    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    storage: str = ""


class Creations:
    """Finds the payer of new objects."""

    def __init__(  # noqa: PLR0913 - only `rules` calls this
        self,
        ancestry: Ancestry,
        namespaces: Namespaces,
        policies: PolicySource,
        *,
        identities: Identities,
        lineage: Lineage,
        kinds: Registry,
    ) -> None:
        """Read what *kinds* of objects are made for from *ancestry*, and the marks of *namespaces*."""
        self._ancestry = ancestry
        self._namespaces = namespaces
        self._policies = policies
        self._identities = identities
        self._lineage = lineage
        self._kinds = kinds

    async def of_new(  # noqa: PLR0913 - only the handler calls this
        self,
        user: UserInfo,
        kind: AnyKind,
        meta: ObjectMeta,
        namespace: str,
        *,
        written: Callable[[], Written] = Written,
        says: Callable[[Texts], tuple[str, str] | None] = lambda _: None,
    ) -> Attributed | Refused:
        """
        Return the payer of an object of *kind* that *user* creates.

        The first that applies: a restorer creates for whom the stamp of the object names; a trusted controller for the
        owner of the nearest stamped ancestor, or of the StatefulSet that the name of a claim tells; a delegate for whom
        it names; a service account that acts in its own namespace with the token of a pod for the owner of that pod.
        What other service accounts create, and controllers for an object without an owner, is paid by the owner of the
        namespace if it has a mark. Any other user pays for what they create, whatever stamp or reference it carries.
        *written* returns what the object carries, and *says* whose it is by the preset of its kind; both are called
        only where that decides. What cannot be read by the preset is refused.
        Raises: UnavailableError if an ancestor or the namespace cannot be read.
        """
        is_restorer = user.username in self._policies.current().restorers
        if is_restorer and (restored := read_stamp(meta)) is not None:
            return Attributed(restored, f"restored by {user.username}", restored)
        found = await self._of_maker(user, kind, meta, namespace, written)
        if found is None:
            found = await self._of_delegate(user, kind, namespace, written, says)
        if isinstance(found, Attributed) and found.payer == NOBODY:
            owner = await self._of_namespace(namespace)
            return found if owner is None else replace(owner, above=found.above)
        if found is not None:
            return found
        is_account = user.username.startswith(SERVICE_ACCOUNT_PREFIX)
        owner = await self._of_token(user, namespace) or await self._of_namespace(namespace) if is_account else None
        return owner or self._identities.as_payer(user, "service account" if is_account else "created it")

    async def _of_maker(
        self, user: UserInfo, kind: AnyKind, meta: ObjectMeta, namespace: str, written: Callable[[], Written]
    ) -> Attributed | Refused | None:
        """Return the owner of the object that a trusted controller makes this one for; None for any other user."""
        reference = meta.controller
        if kind.is_made_by_name and is_controller(user, claim_templates.CONTROLLER):
            made = await self._of_template(meta.name, written(), namespace)
            if made is not None:
                return made
            if reference is None or user.username == claim_templates.CONTROLLER:
                return Refused(f"no StatefulSet of namespace {namespace} has a template for claim {meta.name}")
        if reference is not None and self._identities.acts_for(user, reference):
            found, top = await self._lineage.above(reference, namespace)
            if isinstance(found, Missing):
                return Refused(f"{named(found.reference)}, which this was made for, does not exist")
            if found is not None or not self._identities.is_listed(user):
                return made_for(named(reference), found, above=top)
        return None

    async def _of_template(self, claim: str, written: Written, namespace: str) -> Attributed | None:
        """
        Return the owner of the StatefulSet whose template the claim has the name of, None if there is no such one.

        A reference on the claim tells nothing: the controller copies those that a person has written into the template.
        """
        made = claim_templates.MadeClaim(claim, written.labels or {}, written.storage)
        found = await claim_templates.stateful_set_of(made, namespace, ancestry=self._ancestry, kinds=self._kinds)
        if found is None:
            return None
        meta = found.metadata
        top = meta.controller or OwnerReference("apps/v1", "StatefulSet", meta.name, meta.uid, controller=True)
        return made_for(f"StatefulSet {meta.name}", known_owner(meta), above=top)

    async def _of_delegate(
        self,
        user: UserInfo,
        kind: AnyKind,
        namespace: str,
        written: Callable[[], Written],
        says: Callable[[Texts], tuple[str, str] | None],
    ) -> Attributed | Refused | None:
        delegate = self._policies.current().delegates.get(user.username)
        if delegate is None or not delegate.acts_on(kind.resource):
            return None
        texts = await self._texts(namespace, written())
        found: tuple[str, object] | None = first_named(delegate.marks, texts)
        if found is None and delegate.names_sessions:
            try:
                found = says(texts)
            except UncountableError as error:
                return Refused(f"cannot be charged: {error}")
        if found is None:
            return None
        name, mark = found
        if not delegate.may_name(name):
            return Refused(f"{user.username} must not name {name!r} as who pays ({mark})")
        payer = Payer(name)
        return Attributed(payer, f"named by {user.username} in {mark}", payer)

    async def _of_token(self, user: UserInfo, namespace: str) -> Attributed | None:
        """
        Return the known owner of the pod whose token *user* shows; None if there is none, or in another namespace.

        A pod of an operator acts in other namespaces, and not for whoever has installed it.
        """
        extra = user.extra
        kind = self._kinds.of_resource("pods")
        is_here = user.username.startswith(f"{SERVICE_ACCOUNT_PREFIX}{namespace}:")
        if kind is None or extra is None or not is_here or not (extra.pod_name and extra.pod_uid):
            return None
        pod = await self._ancestry.read(kind, namespace, extra.pod_name[0])
        stamp = known_owner(pod) if pod is not None and pod.uid == extra.pod_uid[0] else None
        return None if stamp is None else Attributed(stamp, f"owner of Pod {extra.pod_name[0]}, which acts", stamp)

    async def _of_namespace(self, namespace: str) -> Attributed | None:
        """Return the owner that the namespace is marked with, a person; None if there is no such mark."""
        marks = self._policies.current().namespace_owners
        if not marks:
            return None
        texts = await self._texts(namespace, Written())
        found = first_named(marks, texts, skip=lambda name: not is_person(name))
        if found is None:
            return None
        payer = Payer(found.name)
        return Attributed(payer, f"owner of namespace {namespace} by {found.mark}", payer)

    async def _texts(self, namespace: str, written: Written) -> Texts:
        labels = await self._namespaces.labels(namespace)
        annotations = await self._namespaces.annotations(namespace)
        return Texts(namespace, labels, annotations, written.labels or {}, written.annotations or {})
