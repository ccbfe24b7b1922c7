"""
ConfigMaps that are parts of the policy: their texts, and why one cannot be a part of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from msgspec import Struct

from webhook.documents.policy_text import PolicyText
from webhook.quota.objects import Shape

POLICY_LABEL = "userquota.dev/policy"
FORCE_ANNOTATION = "userquota.dev/force"


class Fault(NamedTuple):
    """Why what is written cannot be put in force. *config_map* is the one that has to be edited, empty if none can."""

    config_map: str
    message: str


MOVE_TO_DATA = "it is in binaryData, where no policy is read: move it to data"


class PolicyLabels(Struct, frozen=True, gc=False, rename={"policy": POLICY_LABEL}):
    """The label that makes a ConfigMap a part of the policy; the others are not decoded."""

    policy: str = ""


class PolicyAnnotations(Struct, frozen=True, gc=False, rename={"force": FORCE_ANNOTATION}):
    """The annotation by which an admin says why an edit is to be accepted all the same."""

    force: str | None = None


class PolicyConfigMapMeta(Shape, frozen=True, gc=False):
    """The metadata of a policy's ConfigMap."""

    name: str = ""
    uid: str = ""
    resource_version: str = ""
    labels: PolicyLabels | None = None
    annotations: PolicyAnnotations | None = None


class PolicyConfigMap(Shape, frozen=True, gc=False):
    """A ConfigMap; each of its keys is one text. What is not UTF-8 is in `binary_data`, where no policy is read."""

    metadata: PolicyConfigMapMeta = PolicyConfigMapMeta()
    data: dict[str, str] | None = None
    binary_data: dict[str, bytes] | None = None

    @property
    def is_labelled(self) -> bool:
        """Whether it carries the label that makes it a part of the policy."""
        return self.metadata.labels is not None and self.metadata.labels.policy == "true"

    @property
    def force(self) -> str | None:
        """The reason for which an edit is to be accepted all the same, as it is written; None for none."""
        return None if self.metadata.annotations is None else self.metadata.annotations.force

    def texts(self) -> Iterator[PolicyText]:
        """Yield its texts."""
        for key, text in (self.data or {}).items():
            yield PolicyText(f"{self.metadata.name}/{key}", text)

    @property
    def faults(self) -> tuple[Fault, ...]:
        """Why the ConfigMap as a whole cannot be a part of the policy."""
        name = self.metadata.name
        binary = [f"{name}/{key}: {_why_binary(content)}" for key, content in sorted((self.binary_data or {}).items())]
        if not binary and not self.data:
            return (Fault(name, f"{name}/data: it has no text: delete the ConfigMap, or put the policy back"),)
        return tuple(Fault(name, each) for each in binary)


_ENCODINGS = {b"\x1f\x8b": "gzip", b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
"""What editors and pipelines write by accident, by its first bytes."""


def _why_binary(content: bytes) -> str:
    """Return why a policy is not read from binaryData; kubectl puts there what is not UTF-8."""
    try:
        content.decode()
    except UnicodeDecodeError as error:
        form = _ENCODINGS.get(content[:2])
        why = f"it is {form}, not UTF-8" if form else f"it is not UTF-8 at byte {error.start}"
        return f"it is in binaryData, where no policy is read: {why}: save it as UTF-8 and make the ConfigMap again"
    return MOVE_TO_DATA
