"""
The part of a policy that names classes of nodes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, StrictBool, WithJsonSchema, model_validator

from webhook.documents import json_forms
from webhook.documents.hint_schema import SHARE, Link, Sentence, hint_of, read_share
from webhook.documents.mark_schema import Part, name_error
from webhook.documents.policy_amounts import HardList, ResourceName
from webhook.quota import resources
from webhook.quota.commitments import ClassTerms
from webhook.quota.node_classes import NodeClass
from webhook.quota.policy import Hard, Mode, Unlimited
from webhook.quota.resources import LOGICAL, PODS, Amounts, canonical_name
from webhook.quota.shapes import Shape

_FACTOR = re.compile(r"[0-9]{1,3}(\.[0-9]{1,6})?", re.ASCII)
_LARGEST_FACTOR = 100
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?", re.ASCII)


_LEAST_IN_RATIO = 2
_MADE_BY_NODES = frozenset({"pods", "requests.cpu", "requests.memory", "requests.ephemeral-storage", *LOGICAL})
_NO_NAME = "expected a name of small letters, digits, - and ., as in h100"


def _class_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(_NO_NAME)
    return name


def _class_key(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise name_error(_NO_NAME)
    return name


def _of_nodes(amounts: dict[str, Hard]) -> dict[str, Hard]:
    names: set[str] = set()
    for name, amount in amounts.items():
        canonical = canonical_name(name) or name
        if isinstance(amount, Unlimited) or not amount:
            raise ValueError(f"{name}: expected an amount above 0")
        if canonical not in _MADE_BY_NODES and not canonical.startswith("requests."):
            raise ValueError(f"{name} is nothing that nodes have")
        if canonical in names:
            raise ValueError(f"{canonical} is given twice, under its short and its full name")
        names.add(canonical)
    return amounts


def _device(name: str) -> str:
    if not resources.is_extended(name):
        raise ValueError("expected an extended resource, as in nvidia.com/gpu")
    return name


def _read_factor(value: object) -> Fraction:
    text = "" if isinstance(value, bool) else str(value)
    if not _FACTOR.fullmatch(text) or not 0 < Fraction(text) <= _LARGEST_FACTOR:
        raise ValueError(f"expected a number above 0 and up to {_LARGEST_FACTOR}, as in 1.5")
    return Fraction(text)


Factor = Annotated[
    Fraction,
    BeforeValidator(_read_factor),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "string", "pattern": "^[0-9]{1,3}([.][0-9]{1,6})?$"}]}),
]
NodeClassName = Annotated[str, AfterValidator(_class_name), json_forms.whole(_NAME)]
Device = Annotated[str, AfterValidator(_device)]
NodeAmounts = Annotated[HardList, AfterValidator(_of_nodes)]
"""Amounts above 0 of what nodes have, by the names that are written."""


class NodeSelectorPart(Part):
    """Which nodes are of a class."""

    matchLabels: dict[str, str] = Field(  # noqa: N815
        min_length=1, description="Labels that a node of the class has, all of them. At least one is required."
    )


class _NodesPart(Part):
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


class SwitchesPart(Part):
    """What is on or off in a class of nodes."""

    mode: Mode = Field(
        default=Mode.ENFORCE,
        description=(
            "What happens with a pod that does not fit beside what was promised of the class, or has not its `shape`: "
            "`enforce` (default), `warn` or `audit`, as in an entry."
        ),
    )
    commitments: StrictBool = Field(
        default=True,
        description="`false`: nothing of it may be promised, and a commitment is a mistake. Default: `true`.",
    )


class NodeClassPart(SwitchesPart, _NodesPart):
    """A class of nodes, such as those with one model of GPU."""

    unit: NodeAmounts = Field(
        default_factory=dict,
        description=(
            "What one unit of the class is, as `{cpu: 8, memory: 480Gi, gpu: 1}`: commitments and limits of the class "
            "may be written as a number of `units`."
        ),
    )
    shape: Literal["any", "fixed"] = Field(
        default="any",
        description=(
            "`fixed`: pods there have to ask for what is in the `unit`, in its ratio. `any` (default): in whichever."
        ),
    )
    tolerance: Annotated[Fraction, BeforeValidator(read_share), SHARE] | None = Field(
        default=None,
        description=(
            "With `shape: fixed`, how much more of a resource than its share a pod may ask for: `5%`. Default: nothing."
        ),
    )
    worth: dict[ResourceName, Annotated[int, Field(ge=1, le=1_000_000, strict=True)]] = Field(
        default_factory=dict,
        description=(
            "What one of a resource is worth against the same resource of other classes, as `gpu: 4`: by it a "
            "commitment is converted from one class to another."
        ),
    )
    overcommit: dict[ResourceName, Factor] = Field(
        default_factory=dict,
        description=(
            "How many times what nodes have of a resource may be used and promised, as `cpu: 1.5`: once without it, at "
            "most 100 times."
        ),
    )
    committable: Annotated[Fraction, BeforeValidator(read_share), SHARE] = Field(
        default=Fraction(1),
        description="How much of that may be promised, as `80%`: the rest stays for what nobody was promised.",
    )
    message: Sentence | None = Field(default=None, description="What whoever is refused then is told, as in an entry.")
    link: Link | None = Field(default=None, description="A link that is told with `message`.")

    @model_validator(mode="after")
    def _check_shape(self) -> NodeClassPart:
        if self.shape == "fixed" and len(self._ratio) < _LEAST_IN_RATIO:
            raise ValueError("shape: fixed needs a unit with two resources or more: that is the ratio")
        if self.shape != "fixed" and self.tolerance is not None:
            raise ValueError("tolerance is that of shape: fixed")
        return self

    @property
    def _ratio(self) -> Amounts:
        """Return the unit without pods: of these each pod is one."""
        unit = ((canonical_name(name) or name, each) for name, each in self.unit.items())
        return tuple(sorted((name, each) for name, each in unit if name != PODS))

    @property
    def hint(self) -> str:
        """Return what the admins say to whoever is refused."""
        return hint_of(self.message, self.link)

    @property
    def terms(self) -> ClassTerms:
        """Return what is agreed on the resources of the class."""
        worth = {canonical_name(name) or name: each for name, each in self.worth.items()}
        overcommit = {canonical_name(name) or name: each for name, each in self.overcommit.items()}
        unit = {canonical_name(name) or name: each for name, each in self.unit.items()}
        shape = Shape(self._ratio, self.tolerance or Fraction(0)) if self.shape == "fixed" else None
        return ClassTerms(worth, overcommit, self.committable, self.commitments, unit, shape)

    def named(self, name: str) -> NodeClass:
        """Return the class with this *name*."""
        labels = tuple(sorted(self.nodes.matchLabels.items()))
        return NodeClass(name, labels, frozenset(self.devices), self.default)


class NodeClassesPart(Part):
    """All classes of nodes, in the order in which a node is compared with them."""

    model_config = ConfigDict(
        extra="allow", json_schema_extra={"propertyNames": {"type": "string", "pattern": f"^([*]|{_NAME.pattern})$"}}
    )

    __pydantic_extra__: dict[Annotated[str, AfterValidator(_class_key)], NodeClassPart] = Field(init=False)

    others: SwitchesPart | None = Field(
        default=None, alias="*", description="`mode` and `commitments` of each class that does not say them itself."
    )

    @property
    def says_something(self) -> bool:
        """Whether there is any class, or a word on all of them."""
        return bool(self.__pydantic_extra__) or self.others is not None

    @property
    def named(self) -> Mapping[str, NodeClassPart]:
        """Return the classes by name, each with what `*` says where it says nothing itself."""
        said = (
            {} if self.others is None else {name: getattr(self.others, name) for name in self.others.model_fields_set}
        )
        return {
            name: each.model_copy(update={field: said[field] for field in said.keys() - each.model_fields_set})
            for name, each in self.__pydantic_extra__.items()
        }
