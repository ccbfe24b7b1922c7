"""
The part of a policy that names classes of nodes.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from webhook.documents import json_forms
from webhook.documents.hint_schema import Link, Sentence, hint_of
from webhook.documents.mark_schema import Part
from webhook.documents.policy_amounts import ResourceName
from webhook.quota import resources
from webhook.quota.node_classes import NodeClass
from webhook.quota.policy import Mode

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?", re.ASCII)


def _class_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError("expected a name of small letters, digits, - and ., as in h100")
    return name


def _device(name: str) -> str:
    if not resources.is_extended(name):
        raise ValueError("expected an extended resource, as in nvidia.com/gpu")
    return name


NodeClassName = Annotated[str, AfterValidator(_class_name), json_forms.whole(_NAME)]
Device = Annotated[str, AfterValidator(_device)]


class NodeSelectorPart(Part):
    """Which nodes are of a class."""

    matchLabels: dict[str, str] = Field(  # noqa: N815
        min_length=1, description="Labels that a node of the class has, all of them. At least one is required."
    )


class NodeClassPart(Part):
    """A class of nodes, such as those with one model of GPU."""

    nodes: NodeSelectorPart = Field(description="Which nodes are of the class.")
    devices: list[Device] = Field(
        default_factory=list,
        description=(
            "Extended resources of its nodes, as `nvidia.com/gpu`. A pod that asks for one may run there, whether it "
            "requires a label or not."
        ),
    )
    default: bool = Field(
        default=False, description="`true`: pods run there that require the labels of no class, nor a device of one."
    )
    mode: Mode = Field(
        default=Mode.ENFORCE,
        description=(
            "What happens with a pod that does not fit beside what was promised of the class: `enforce` (default), "
            "`warn` or `audit`, as in an entry."
        ),
    )
    worth: dict[ResourceName, Annotated[int, Field(ge=1, le=1_000_000, strict=True)]] = Field(
        default_factory=dict,
        description=(
            "What one of a resource is worth against the same resource of other classes, as `gpu: 4`: by it a "
            "commitment is converted from one class to another."
        ),
    )
    message: Sentence | None = Field(default=None, description="What whoever is refused then is told, as in an entry.")
    link: Link | None = Field(default=None, description="A link that is told with `message`.")

    @property
    def hint(self) -> str:
        """Return what the admins say to whoever is refused."""
        return hint_of(self.message, self.link)

    def named(self, name: str) -> NodeClass:
        """Return the class with this *name*."""
        labels = tuple(sorted(self.nodes.matchLabels.items()))
        return NodeClass(name, labels, frozenset(self.devices), self.default)
