"""
The stamp: the owner and the owner's groups in an object's own annotations, never in a template.

Deployment, StatefulSet and DaemonSet controllers compare templates; a stamp there would start a rollout.
`rules` finds the payer to stamp.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from webhook.quota.objects import GROUPS_ANNOTATION, OWNER_ANNOTATION, Annotations, ObjectMeta, PatchOperation
from webhook.quota.policy import Policy
from webhook.quota.subject import Payer

MAX_GROUPS_TEXT = 4096
"""Bytes of the groups annotation of one object: about a hundred names."""

_groups_decoder = msgspec.json.Decoder(tuple[str, ...])
_encoder = msgspec.json.Encoder()


def read_stamp(meta: ObjectMeta) -> Payer | None:
    """Return the payer in the object's stamp; None if it has no stamp, or one that the webhook cannot have written."""
    annotations = meta.annotations
    if annotations is None or not annotations.owner or annotations.groups is None:
        return None
    try:
        groups = _groups_decoder.decode(annotations.groups)
    except (msgspec.MsgspecError, UnicodeError):
        return None
    return Payer(annotations.owner, groups)


def has_stamp(meta: ObjectMeta, payer: Payer | None) -> bool:
    """Whether the object carries exactly the stamp of *payer*; for None, whether it carries no stamp."""
    annotations = meta.annotations or Annotations()
    if payer is None:
        return annotations.owner is None and annotations.groups is None
    return annotations.owner == payer.owner and annotations.groups == groups_text(payer)


def written_owner(meta: ObjectMeta) -> str:
    """Return the owner annotation, empty if there is none."""
    return (meta.annotations.owner or "") if meta.annotations is not None else ""


def carries_stamp(meta: ObjectMeta) -> bool:
    """Whether the object carries a stamp, or a part of one."""
    return not has_stamp(meta, None)


def stamping(meta: ObjectMeta, payer: Payer | None) -> Iterator[PatchOperation]:
    """
    Yield the changes that stamp the object with *payer*, or take its stamp away for None. Only our annotations change.
    """
    if has_stamp(meta, payer):
        return
    if payer is None:
        written = meta.annotations or Annotations()
        present = ((OWNER_ANNOTATION, written.owner), (GROUPS_ANNOTATION, written.groups))
        yield from (PatchOperation(_path(key)) for key, value in present if value is not None)
        return
    stamp = {OWNER_ANNOTATION: payer.owner, GROUPS_ANNOTATION: groups_text(payer)}
    if meta.annotations is None:
        yield PatchOperation("/metadata/annotations", stamp)
        return
    for key, value in stamp.items():
        yield PatchOperation(_path(key), value)


def stamp_for(payer: Payer, policy: Policy) -> Payer:
    """
    Return the stamp for an object of *payer*: with all groups, or only those that *policy* names if all are too long.

    The API server rejects an object whose annotations exceed 256 KiB, and every object of a person repeats the stamp.
    """
    return payer if len(groups_text(payer)) <= MAX_GROUPS_TEXT else policy.named(payer)


def _path(key: str) -> str:
    return f"/metadata/annotations/{key.replace('/', '~1')}"


def groups_text(payer: Payer) -> str:
    """Return the text of the groups annotation."""
    return _encoder.encode(payer.groups).decode()
