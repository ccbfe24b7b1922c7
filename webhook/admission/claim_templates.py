"""
ResourceClaimTemplates among objects of files: they say what the pods of a workload claim, before they are stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

import msgspec

from webhook.documents.object_text import RawObject
from webhook.kinds.evaluator import AnyKind
from webhook.kinds.misfits import misfit_text
from webhook.kinds.resource_claims import RESOURCE_CLAIM_TEMPLATES
from webhook.ports import Ancestry, UnavailableError
from webhook.quota.objects import ObjectKey, ObjectMeta

T = TypeVar("T")


def is_claim_template(written: RawObject) -> bool:
    """Whether an object of a file is a ResourceClaimTemplate, in the version in which claims are counted."""
    kind = RESOURCE_CLAIM_TEMPLATES
    return (written.api_version, written.kind) == (kind.api_version, kind.kind)


def claim_templates(objects: Iterable[RawObject], *, otherwise: str = "") -> Mapping[ObjectKey, bytes]:
    """Return the ResourceClaimTemplates among *objects*; *otherwise* is the namespace of those that name none."""
    resource = RESOURCE_CLAIM_TEMPLATES.resource
    templates = (each for each in objects if is_claim_template(each))
    return {ObjectKey(resource, each.namespace or otherwise, each.name): each.body for each in templates}


class WithTemplates:
    """Port `Ancestry`: what is stored, with *templates* as if they were, too."""

    def __init__(self, ancestry: Ancestry, templates: Mapping[ObjectKey, bytes]) -> None:
        """Read all else from *ancestry*."""
        self._ancestry = ancestry
        self._templates = templates

    async def read(self, kind: AnyKind, namespace: str, name: str) -> ObjectMeta | None:
        """Return the metadata of what is stored. See `Ancestry.read`."""
        return await self._ancestry.read(kind, namespace, name)

    async def read_whole(self, kind: AnyKind, namespace: str, name: str, shape: type[T]) -> T | None:
        """Return a template, or what is stored. See `Ancestry.read_whole`."""
        body = self._templates.get(ObjectKey(kind.resource, namespace, name))
        if body is None:
            return await self._ancestry.read_whole(kind, namespace, name, shape)
        try:
            return msgspec.json.decode(body, type=shape)
        except msgspec.MsgspecError as error:
            raise UnavailableError("unreadable", f"{kind.kind} {name}: {misfit_text(error)}") from error
