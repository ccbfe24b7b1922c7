"""
The shape of `resources`: what resources are called, a default for everybody, and what each device counts.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticKnownError

from webhook.documents import json_forms
from webhook.documents.hint_schema import Label, Sentence
from webhook.documents.mark_schema import Part, name_error
from webhook.documents.policy_amounts import HardAmount, LogicalAmount, whole_if_possible
from webhook.quota import devices, resources, share
from webhook.quota.catalogue import About, Notation
from webhook.quota.durations import TIMES
from webhook.quota.resources import Amount


def _read_weight(value: Any) -> Amount:
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise ValueError("expected a weight such as 1, 1/4 or 0.25")  # noqa: TRY004 - a TypeError has no place
    text = str(value)
    if text.startswith("-"):
        raise ValueError(f"{text} is negative; 0 says that it is no device")
    weight = share.parse(text)
    if weight > devices.MOST:
        raise ValueError(f"{text} is more than {devices.MOST}, the largest weight")
    return whole_if_possible(weight)


def _device_name(name: str) -> str:
    if "/" not in name and difflib.get_close_matches(name, ResourcePart.model_fields):
        raise PydanticKnownError("extra_forbidden")
    try:
        devices.check_name(name)
    except devices.DeviceNameError as error:
        raise name_error(str(error)) from error
    return name


def _resource_name(name: str) -> str:
    if name in TIMES:
        raise name_error("only perSession bounds it, and it has no other name")
    if resources.canonical_name(name) is None:
        raise name_error("unknown resource")
    return name


DeviceName = Annotated[str, AfterValidator(_device_name)]
DeviceWeight = Annotated[Any, BeforeValidator(_read_weight), WithJsonSchema(json_forms.WEIGHT)]
ResourceName = Annotated[str, AfterValidator(_resource_name)]

_DEFAULT = (
    "What every person may use in all who has no other word on it: it stands behind `defaults.user`. "
    "0 forbids it until it is granted. Without it nothing is limited."
)


class ResourcePart(Part):
    """What is said of one resource."""

    displayName: Label | None = Field(  # noqa: N815
        default=None, description="What people call it, as `NVIDIA cards`: with at most 60 characters."
    )
    description: Sentence | None = Field(
        default=None, description="What it is: one line of plain text with at most 200 characters."
    )
    unit: Label | None = Field(default=None, description="What it is counted in, as a word for people: `GPUs`, `GiB`.")
    format: Notation | None = Field(
        default=None,
        description=(
            "`binary`: amounts are shown as `8Gi`, `decimal` (default): as `8G`. Only for extended resources; "
            "of all others Kubernetes says it."
        ),
    )
    default: Annotated[HardAmount, WithJsonSchema(json_forms.LOGICAL_AMOUNT)] = Field(
        default=None, description=_DEFAULT
    )

    @property
    def says_something(self) -> bool:
        """Whether any field of its own is written."""
        return not self.model_fields_set.isdisjoint(ResourcePart.model_fields)

    def about(self, entry: str, place: str) -> About:
        """Return what is said of the resource by *entry*, written at *place*."""
        return About(entry, place, self.displayName or "", self.description or "", self.unit or "", self.format)


class LogicalResourcePart(ResourcePart):
    """What is said of a logical resource, and what each device counts in it."""

    model_config = ConfigDict(extra="allow")

    __pydantic_extra__: dict[DeviceName, DeviceWeight] = Field(init=False)

    default: LogicalAmount = Field(default=None, description=_DEFAULT)

    @property
    def weights(self) -> Mapping[str, Amount]:
        """Return what each device counts, by its name."""
        return self.__pydantic_extra__


class ResourcesPart(Part):
    """What is said of resources, by their names."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"propertyNames": json_forms.HARD_LIST["propertyNames"]})

    __pydantic_extra__: dict[ResourceName, ResourcePart] = Field(init=False)

    gpu: LogicalResourcePart = Field(
        default=LogicalResourcePart(),
        description=(
            "The same of `gpu`, and what a device counts in it, by its name: `nvidia.com/gpu.shared: 1/4`. 0 says "
            "that it is no device."
        ),
    )
    accelerator: LogicalResourcePart = Field(
        default=LogicalResourcePart(),
        description="The same of `accelerator`, and what a device counts in it, by its name, as in `gpu`.",
    )

    @property
    def logical(self) -> Mapping[str, LogicalResourcePart]:
        """Return what is said of the logical resources."""
        return {"accelerator": self.accelerator, "gpu": self.gpu}

    @property
    def catalogue(self) -> Mapping[str, ResourcePart]:
        """Return what is said of each resource, by the name that is written; weights alone say nothing of `gpu`."""
        said = {name: part for name, part in self.logical.items() if part.says_something}
        return {**said, **self.__pydantic_extra__}
