"""
An edit of a ConfigMap of the policy, as a review shows it, and the reason that it may bring.

What it does is judged in `policy_edits`.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import msgspec

from webhook.admission.review import AdmissionRequest
from webhook.documents.policy_config_map import FORCE_ANNOTATION, PolicyConfigMap

_ADVICE = "To do it all the same"
_ADVICE_ANEW = f"The annotation {FORCE_ANNOTATION} was there before this edit"
_HOW = f"{_ADVICE}, say why in the annotation {FORCE_ANNOTATION} in the same edit"
_HOW_ANEW = f"{_ADVICE_ANEW}: to do it all the same, give another reason"
_HOW_DELETED = (
    f"To do it all the same, first edit it to say no more than version: 1, with the reason in the annotation "
    f"{FORCE_ANNOTATION}"
)


def without_advice(refusal: str) -> str:
    """Return a refusal without what an admin may do about it, for programs that ask for others."""
    for advice in (_ADVICE, _ADVICE_ANEW):
        refusal = refusal.partition(f". {advice}")[0]
    return refusal


class ConfigMapEdit(NamedTuple):
    """
    A ConfigMap before and after; None where it is no part of the policy.

    `base` is the version before, 0 if there was none. `force` is the reason that this edit brings, None without one: a
    reason that was there before (`is_forced_before`) is none for this edit.
    """

    name: str
    uid: str
    base: int
    old: PolicyConfigMap | None
    new: PolicyConfigMap | None
    force: str | None
    is_forced_before: bool

    @property
    def digest(self) -> str:
        """Return the same text for the same edit of the same version, however often the API server asks about it."""
        after = None if self.new is None else (self.new.data, self.new.binary_data)
        return hashlib.sha256(msgspec.json.encode((self.base, after), order="sorted")).hexdigest()

    @property
    def how(self) -> str:
        """Return what to do to have it accepted although limits are below what is used."""
        if self.new is None:
            return _HOW_DELETED
        return _HOW_ANEW if self.is_forced_before else _HOW


def read_edit(request: AdmissionRequest) -> ConfigMapEdit | None:
    """Return the edit; None if it changes nothing of the policy. Raises: ReviewError."""
    old = None if request.operation == "CREATE" else request.decode_old(PolicyConfigMap)
    new = None if request.operation == "DELETE" else request.decode(PolicyConfigMap)
    was, will = (each if each is not None and each.is_labelled else None for each in (old, new))
    if was is None and will is None:
        return None
    if was is not None and will is not None and (was.data, was.binary_data) == (will.data, will.binary_data):
        return None
    former = None if old is None else old.force
    force = None if new is None or new.force == former else new.force
    metadata = (new or old or PolicyConfigMap()).metadata
    base = 0 if old is None else request.version(old.metadata.resource_version)
    return ConfigMapEdit(metadata.name, metadata.uid, base, was, will, force, is_forced_before=former is not None)
