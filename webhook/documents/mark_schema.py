"""
The shapes that several parts of a policy share: names, and the marks that say whose an object is.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from webhook.documents import json_forms
from webhook.quota.delegation import PRESETS, Decoding, Mark, Place

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_LABEL_KEY = re.compile(
    rf"((?=[^/]{{1,253}}/){_LABEL}(\.{_LABEL})*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{{0,61}}[A-Za-z0-9])?", re.ASCII
)
"""A qualified name of Kubernetes."""

_SERVICE_ACCOUNT = re.compile(rf"{_LABEL}/{_LABEL}(\.{_LABEL})*", re.ASCII)


NAME_ERROR = "name_error"
"""The type of an error in a name, which pydantic puts at the value of the field."""


def name_error(why: str) -> PydanticCustomError:
    """Return what is wrong with the name of a field that a part takes beside those of its own."""
    return PydanticCustomError(NAME_ERROR, "{why}", {"why": why})


class Written(str):
    """A number as it was written, so that `0.1` never becomes a float on its way to an amount."""

    __slots__ = ()


def _whole_name(name: str) -> str:
    if not name or name != name.strip():
        raise ValueError("expected a name without spaces around it")
    return name


_PROJECT = re.compile(r"(?!\.\.?$)[!-.0-~]{1,64}", re.ASCII)
"""A path of the API has it: a slash would end it, and a dot alone would be lost."""


def _project(written: str) -> str:
    if not _PROJECT.fullmatch(written):
        raise ValueError("expected an id of 1 to 64 visible characters without a slash")
    return written


def _label_key(written: str) -> str:
    if not _LABEL_KEY.fullmatch(written):
        raise ValueError("expected the key of a label, as cost-center or example.com/team")
    return written


def _pattern(text: str) -> str:
    if text.count("*") != 1:
        raise ValueError("expected a text with one *, which stands for the name")
    return text


def _preset(name: str) -> str:
    if name not in PRESETS:
        raise ValueError(f"unknown preset {name}")
    return name


def _service_account(name: str) -> str:
    if not _SERVICE_ACCOUNT.fullmatch(name):
        raise ValueError("expected a service account as <namespace>/<name>")
    return name


Name = Annotated[str, AfterValidator(_whole_name), json_forms.NAME]
Project = Annotated[str, AfterValidator(_project), json_forms.whole(_PROJECT)]
ServiceAccountName = Annotated[str, AfterValidator(_service_account), json_forms.whole(_SERVICE_ACCOUNT)]
LabelKey = Annotated[str, AfterValidator(_label_key), json_forms.whole(_LABEL_KEY)]
Pattern = Annotated[str, AfterValidator(_pattern), json_forms.text(r"^[^*]*\*[^*]*$")]
Preset = Annotated[str, AfterValidator(_preset), json_forms.words(sorted(PRESETS))]


class Part(BaseModel):
    """A mapping: an unknown field is a mistake."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


class MarkPart(Part):
    """Where the name of a payer is written: in one of five places, or those of a platform."""

    annotation: Name | None = Field(default=None, description="The annotation of the object that has the name.")
    label: Name | None = Field(default=None, description="The label of the object that has the name.")
    namespaceAnnotation: Name | None = Field(  # noqa: N815
        default=None, description="The annotation of its namespace that has the name."
    )
    namespaceLabel: Name | None = Field(  # noqa: N815
        default=None, description="The label of its namespace that has the name."
    )
    namespaceName: Pattern | None = Field(  # noqa: N815
        default=None, description="The name of the namespace, as a pattern: `home-*`."
    )
    preset: Preset | None = Field(default=None, description="The marks of a platform, as `jupyterhub`.")
    pattern: Pattern = Field(default="*", description="The text around the name, as `student-*`.")
    decode: list[Decoding] = Field(
        default_factory=list,
        description=(
            "How the name is read, applied in this order: `escaped` (`-40` for `@`, as JupyterHub "
            "writes labels), `at` (`.at.` for `@`, as Argo Workflows does), `lower`."
        ),
    )
    prefix: str = Field(default="", description="What stands before the name in logins of the cluster, as `oidc:`.")

    @property
    def marks(self) -> tuple[Mark, ...]:
        """Return the marks; the one of a platform may be several, tried in their order."""
        decode = tuple(self.decode)
        if self.preset is not None:
            return tuple(Mark(each.place, each.key, self.pattern, decode, self.prefix) for each in PRESETS[self.preset])
        if self.namespaceName is not None:
            return (Mark(Place.NAMESPACE_NAME, "", self.namespaceName, decode, self.prefix),)
        keys = ((place, getattr(self, place.value)) for place in Place)
        return tuple(Mark(place, key, self.pattern, decode, self.prefix) for place, key in keys if key is not None)

    @model_validator(mode="after")
    def _check_place(self) -> MarkPart:
        places = [place.value for place in Place]
        given = [name for name in (*places, "preset") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"expected one of {', '.join(places)}, preset")
        return self
