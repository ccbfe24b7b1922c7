"""
The stamp: the owner and the owner's groups in an object's own annotations, never in a template.

A workload that was made by one person and follows the owner of its controller carries its maker as well.

Deployment, StatefulSet and DaemonSet controllers compare templates; a stamp there would start a rollout.
`rules` finds the payer to stamp.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from webhook.quota.errors import UNREADABLE
from webhook.quota.objects import (
    GROUPS_ANNOTATION,
    MAKER_ANNOTATION,
    OWNER_ANNOTATION,
    Annotations,
    ObjectMeta,
    PatchOperation,
)
from webhook.quota.policy import Policy
from webhook.quota.subject import Payer

MAX_GROUPS_TEXT = 4096
"""Bytes of the groups annotation of one object: about a hundred names."""

_KEYS = (OWNER_ANNOTATION, GROUPS_ANNOTATION, MAKER_ANNOTATION)

_groups_decoder = msgspec.json.Decoder(tuple[str, ...])
_maker_decoder = msgspec.json.Decoder(Payer)
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


def read_maker(meta: ObjectMeta) -> Payer | None:
    """Return who pays again for an adopted workload once it is released; None if nobody is kept for that."""
    text = meta.annotations.maker if meta.annotations is not None else None
    if text is None:
        return None
    try:
        return _maker_decoder.decode(text)
    except UNREADABLE:
        return None


def has_stamp(meta: ObjectMeta, payer: Payer | None, maker: Payer | None = None) -> bool:
    """Whether the object carries exactly the stamp of *payer*, with its *maker*; for None, whether it carries none."""
    annotations = meta.annotations or Annotations()
    return (annotations.owner, annotations.groups, annotations.maker) == _texts(payer, maker)


def written_owner(meta: ObjectMeta) -> str:
    """Return the owner annotation, empty if there is none."""
    return (meta.annotations.owner or "") if meta.annotations is not None else ""


def carries_stamp(meta: ObjectMeta) -> bool:
    """Whether the object carries a stamp, or a part of one."""
    return not has_stamp(meta, None)


def stamping(meta: ObjectMeta, payer: Payer | None, maker: Payer | None = None) -> Iterator[PatchOperation]:
    """
    Yield the changes that stamp the object with *payer* and *maker*, or take the stamp away for no payer.

    Only our annotations change.
    """
    if has_stamp(meta, payer, maker):
        return
    written = meta.annotations or Annotations()
    present = (written.owner, written.groups, written.maker)
    stamp = dict(zip(_KEYS, _texts(payer, maker), strict=True))
    if meta.annotations is None:
        yield PatchOperation("/metadata/annotations", {key: text for key, text in stamp.items() if text is not None})
        return
    for (key, text), was in zip(stamp.items(), present, strict=True):
        if text != was:
            yield PatchOperation(_path(key), text)


def stamp_for(payer: Payer, policy: Policy) -> Payer:
    """
    Return the stamp for an object of *payer*: with all groups, or only those that *policy* names if all are too long.

    The API server rejects an object whose annotations exceed 256 KiB, and every object of a person repeats the stamp.
    """
    return payer if len(groups_text(payer)) <= MAX_GROUPS_TEXT else policy.named(payer)


def _path(key: str) -> str:
    return f"/metadata/annotations/{key.replace('/', '~1')}"


def _texts(payer: Payer | None, maker: Payer | None) -> tuple[str | None, str | None, str | None]:
    if payer is None:
        return None, None, None
    return payer.owner, groups_text(payer), None if maker is None else _encoder.encode(maker).decode()


def groups_text(payer: Payer) -> str:
    """Return the text of the groups annotation."""
    return _encoder.encode(payer.groups).decode()
