"""
The shape of a session preset, as pydantic models. docs/sessions.md has the meaning, `shipped_presets` those that exist.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
    model_validator,
)

from webhook.documents import json_forms
from webhook.documents.mark_schema import MarkPart, Name, Part, ServiceAccountName, Written
from webhook.kinds.registry import KINDS
from webhook.kinds.session_pods import check_match
from webhook.kinds.sessions import SessionReader
from webhook.quota import expressions, field_paths, resources
from webhook.quota.delegation import Decoding, Mark, Place
from webhook.quota.expressions import Expression
from webhook.quota.field_paths import Path
from webhook.quota.presets import (
    Condition,
    Conditions,
    Constant,
    Container,
    FieldMark,
    NamedResources,
    Operator,
    PodLabel,
    PodValue,
    Preset,
    Requester,
    ResourceField,
    ResourceSource,
    UserMark,
)
from webhook.quota.presets import Part as PartOfSession
from webhook.quota.subject import SERVICE_ACCOUNT_PREFIX

_DNS = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?", re.ASCII)
_GROUP = re.compile(rf"({_DNS.pattern})?", re.ASCII)
_KIND = re.compile(r"[A-Z][A-Za-z0-9]*", re.ASCII)
_VERSION = re.compile(r"v[0-9]+((alpha|beta)[0-9]+)?", re.ASCII)


_NAMED = "named"


def _read_path(value: Any) -> Path:
    if not isinstance(value, str) or isinstance(value, Written):
        raise ValueError("expected a path such as spec.user")  # noqa: TRY004 - pydantic gives no place to a TypeError
    return field_paths.parse(value)


def _read_expression(value: Any) -> Expression:
    if isinstance(value, bool) or not isinstance(value, (str, int)) or isinstance(value, Written):
        raise ValueError("expected an expression such as spec.replicas ?? 1")  # noqa: TRY004 - as above
    return expressions.parse(str(value))


def _read_constant(value: Any) -> Constant:
    if isinstance(value, Written) or not isinstance(value, (str, int)):
        raise ValueError("expected a text, a whole number, true or false")  # noqa: TRY004 - as above
    return value


def _read_source(value: Any, read_fields: ValidatorFunctionWrapHandler) -> Any:
    if isinstance(value, dict) and _NAMED in value:
        if len(value) > 1:
            raise ValueError(f"{_NAMED} stands alone: write the amounts as a further source")
        return NamedResources(_read_path(value[_NAMED]))
    return _read_path(value) if isinstance(value, str) else read_fields(value)


def _requested(name: str) -> str:
    if not resources.is_charged(name):
        raise ValueError(f"{name} is no resource of a container, such as cpu, memory or nvidia.com/gpu")
    return name


def _matching(form: re.Pattern[str], wanted: str) -> AfterValidator:
    def check(name: str) -> str:
        if not form.fullmatch(name):
            raise ValueError(f"expected {wanted}")
        return name

    return AfterValidator(check)


PathText = Annotated[Any, BeforeValidator(_read_path), WithJsonSchema(json_forms.PATH)]
ExpressionText = Annotated[Any, BeforeValidator(_read_expression), WithJsonSchema(json_forms.EXPRESSION)]
ConstantValue = Annotated[Any, BeforeValidator(_read_constant), WithJsonSchema(json_forms.CONSTANT)]
RequestedName = Annotated[str, AfterValidator(_requested)]
Source = Annotated[dict[RequestedName, ExpressionText], WrapValidator(_read_source), WithJsonSchema(json_forms.SOURCE)]
"""A path for a text, names of resources for `named`, an expression for each name otherwise."""
DnsName = Annotated[str, _matching(_DNS, "small letters, digits, - and ."), json_forms.whole(_DNS)]
KindName = Annotated[str, _matching(_KIND, "a kind such as Notebook"), json_forms.whole(_KIND)]
VersionName = Annotated[
    str, _matching(_VERSION, "a version such as v1 or v1beta1, without its group"), json_forms.whole(_VERSION)
]


class ConditionPart(Part):
    """A comparison of a field."""

    field: PathText = Field(description="The path of the field that is compared. A field with `null` is absent.")
    operator: Operator = Field(description="`In`, `NotIn`, `Exists` or `DoesNotExist`.")
    values: list[ConstantValue] = Field(
        default_factory=list,
        description="Texts, whole numbers, `true` and `false`, which are compared with their type.",
    )

    @property
    def condition(self) -> Condition:
        """Return its value."""
        return Condition(self.field, self.operator, tuple(self.values))

    @model_validator(mode="after")
    def _check_values(self) -> ConditionPart:
        if (self.operator in (Operator.IN, Operator.NOT_IN)) != bool(self.values):
            has = "needs" if not self.values else "takes no"
            raise ValueError(f"operator {self.operator.value} {has} values")
        return self


class AllPart(Part):
    """Comparisons that all have to hold."""

    all: list[ConditionPart] = Field(min_length=1, description="Conditions that all have to hold.")


def _read_alternative(value: Any) -> Any:
    """Return one comparison as a list of one."""
    return value if isinstance(value, dict) and "all" in value else {"all": [value]}


Alternative = Annotated[AllPart, BeforeValidator(_read_alternative, json_schema_input_type=AllPart | ConditionPart)]


class UserMarkPart(MarkPart):
    """Where a name is written: a field of the object, or one of the places of a delegate's mark."""

    field: PathText | None = Field(default=None, description="The path of the field that has the name.")
    requester: Literal[True] | None = Field(
        default=None, description="`true`: whoever creates the object. Only the last mark of `user` may be it."
    )

    @property
    def user_marks(self) -> tuple[UserMark, ...]:
        """Return the marks."""
        if self.requester:
            return (Requester.REQUESTER,)
        return self.named_marks

    @property
    def named_marks(self) -> tuple[FieldMark | Mark, ...]:
        """Return the marks that say a name."""
        if self.field is not None:
            decode: tuple[Decoding, ...] = tuple(self.decode)
            return (FieldMark(self.field, self.pattern, decode, self.prefix),)
        return self.marks

    @model_validator(mode="after")
    def _check_place(self) -> UserMarkPart:
        places = ["field", *(place.value for place in Place), "preset", "requester"]
        if sum(getattr(self, name) is not None for name in places) != 1:
            raise ValueError(f"expected one of {', '.join(places)}")
        return self


class ContainerPart(Part):
    """A container that the platform puts into a pod."""

    each: PathText | None = Field(
        default=None,
        description=(
            "The path of a list or map: there is one such container for each item, and paths in it begin at the item."
        ),
    )
    when: list[ConditionPart] = Field(
        default_factory=list, description="Conditions, without which the container is not there."
    )
    requests: list[Source] = Field(
        default_factory=list, description="Its requests: sources, of which the first one that names a resource counts."
    )
    limits: list[Source] = Field(default_factory=list, description="Its limits: sources, as of `requests`.")

    @property
    def container(self) -> Container:
        """Return its value."""
        requests, limits = (tuple(map(_source, each)) for each in (self.requests, self.limits))
        return Container(self.each, _conditions(self.when), requests, limits)


class PartPart(Part):
    """Some of the pods of a session. `requests` and `limits` are those of one container."""

    name: Name = Field(description="Its name for people.")
    each: PathText | None = Field(
        default=None,
        description=(
            "The path of a list or map: there is one such part for each item, and paths in the part "
            "begin at the item. `$.` begins at the object."
        ),
    )
    when: list[ConditionPart] = Field(
        default_factory=list, description="Conditions, without which the part is not there."
    )
    podTemplate: PathText | None = Field(  # noqa: N815 - the names are those of the file
        default=None,
        description=(
            "The path of an object with `spec` (that of a pod) and `metadata`. It costs what its pods "
            "will cost: init containers, sidecars, overhead (also that of the RuntimeClass it names), "
            "pod-level resources, requests that follow from limits, annotations for parts of GPUs."
        ),
    )
    requests: list[Source] = Field(
        default_factory=list,
        description=(
            "Instead of a template, the requests of one container: sources, of which the first one "
            "that names a resource counts."
        ),
    )
    limits: list[Source] = Field(
        default_factory=list,
        description="Instead of a template, the limits of one container: sources, as of `requests`.",
    )
    containers: list[ContainerPart] = Field(default_factory=list, description="Containers that the platform adds.")
    initContainers: list[ContainerPart] = Field(  # noqa: N815
        default_factory=list, description="Init containers that the platform adds."
    )
    times: ExpressionText | None = Field(
        default=None, description="How many pods there are, an expression; 1 by default."
    )
    upTo: ExpressionText | None = Field(  # noqa: N815
        default=None,
        description=(
            "How many there may be, an expression. Without it as many as there are. Absent fields and "
            "2147483647, which CRDs write for it, are no bound."
        ),
    )

    @property
    def part(self) -> PartOfSession:
        """Return its value."""
        containers = [each.container for each in self.containers]
        if self.requests or self.limits:
            requests, limits = (tuple(map(_source, each)) for each in (self.requests, self.limits))
            containers.insert(0, Container(None, (), requests, limits))
        return PartOfSession(
            self.name,
            self.each,
            _conditions(self.when),
            self.podTemplate,
            tuple(containers),
            tuple(each.container for each in self.initContainers),
            self.times,
            self.upTo,
        )

    @model_validator(mode="after")
    def _check_size(self) -> PartPart:
        if self.podTemplate is not None and (self.requests or self.limits):
            raise ValueError("expected podTemplate, or requests and limits")
        if self.podTemplate is not None and self.podTemplate.is_repeated:
            raise ValueError("podTemplate is one template: write the list in each")
        return self


class PodsPart(Part):
    """How the pods of a session are known."""

    label: Name = Field(description="The label of the pods.")
    value: Name = Field(description="What it says: `name` or `uid` of the session, or the path of a field of it.")
    also: dict[Name, str] = Field(
        default_factory=dict, description="Further labels that the pods have, with their values."
    )

    @property
    def pod_label(self) -> PodLabel:
        """Return its value."""
        return PodLabel(self.label, _pod_value(self.value), tuple(sorted(self.also.items())))

    @model_validator(mode="after")
    def _check_value(self) -> PodsPart:
        _pod_value(self.value)
        return self


class PresetPart(Part):
    """One preset."""

    name: DnsName = Field(description="Its name, in small letters.")
    group: Annotated[str, _matching(_GROUP, 'an API group, or "" for the core group')] = Field(
        description='The API group of the kind; `""` is the core group.'
    )
    kind: KindName = Field(description="The kind, as `Notebook`.")
    plural: DnsName = Field(description="The plural of the kind in the API, as `notebooks`.")
    versions: list[VersionName] = Field(
        min_length=1,
        description=(
            "The API versions whose fields it knows. An object of another one cannot be read, and is "
            "no session that passes."
        ),
    )
    checked: str = Field(default="", description="With which release the fields were compared.")
    match: list[ConditionPart] = Field(
        default_factory=list,
        description="Conditions that all have to hold, else the object is no session. Kinds of Kubernetes need one.",
    )
    user: list[UserMarkPart] = Field(min_length=1, description="Whose session it is: marks, tried in this order.")
    project: list[UserMarkPart] = Field(
        default_factory=list, description="Marks of the project, if the platform has them."
    )
    groups: PathText | None = Field(default=None, description="The path of the names of groups.")
    resources: list[PartPart] = Field(description="The parts of a session; may be empty.")
    stopped: list[Alternative] = Field(
        default_factory=list,
        description="Alternatives: under any of them the session has no pods and can be started again.",
    )
    ended: list[Alternative] = Field(default_factory=list, description="Alternatives: under any of them it is over.")
    elsewhere: list[ConditionPart] = Field(
        default_factory=list,
        description=(
            "Conditions under any of which another object decides on the size too, so that the size "
            "read here is not all of it."
        ),
    )
    pods: list[PodsPart] = Field(
        default_factory=list,
        description="How its pods are known, alternatives. Left out for sessions that are pods themselves.",
    )
    controllers: list[ServiceAccountName] = Field(
        default_factory=list, description="The service accounts, as NAMESPACE/NAME, that make objects for its sessions."
    )
    scale: PathText | None = Field(
        default=None,
        description=(
            "The path of the field that the scale subresource sets (`specReplicasPath` of the CRD), "
            "if the kind has one."
        ),
    )
    duration: PathText | None = Field(
        default=None, description="The path of how long a session may run, which `perSession` bounds."
    )
    idle: PathText | None = Field(
        default=None, description="The path of how long a session may be idle, which `perSession` bounds."
    )
    category: list[UserMarkPart] = Field(
        default_factory=list, description="Marks of the category, if the platform has them."
    )

    @property
    def preset(self) -> Preset:
        """Return its value."""
        return Preset(
            self.name,
            self.group,
            self.kind,
            self.plural,
            tuple(self.versions),
            tuple(mark for each in self.user for mark in each.user_marks),
            tuple(each.part for each in self.resources),
            match=_conditions(self.match),
            project=tuple(mark for each in self.project for mark in each.named_marks),
            groups=self.groups,
            stopped=tuple(_conditions(each.all) for each in self.stopped),
            ended=tuple(_conditions(each.all) for each in self.ended),
            elsewhere=_conditions(self.elsewhere),
            pods=tuple(each.pod_label for each in self.pods),
            controllers=tuple(SERVICE_ACCOUNT_PREFIX + each.replace("/", ":") for each in self.controllers),
            scale=self.scale,
            duration=self.duration,
            idle=self.idle,
            category=tuple(mark for each in self.category for mark in each.named_marks),
            checked=self.checked,
        )

    @model_validator(mode="after")
    def _check(self) -> PresetPart:
        requester = [index for index, each in enumerate(self.user) if each.requester]
        if requester and requester != [len(self.user) - 1]:
            raise ValueError("requester is the last of user: whoever creates the object always has a name")
        if any(each.requester for each in (*self.project, *self.category)):
            raise ValueError("requester is a mark of user only")
        preset = self.preset
        if KINDS.of_resource(preset.resource) is not None and not preset.match:
            raise ValueError(f"not all {preset.resource} are sessions: write match")
        is_pod = preset.resource == "pods"
        if is_pod == bool(preset.pods):
            raise ValueError("a pod is its own pod: leave out pods" if is_pod else "pods: say how its pods are known")
        if is_pod:
            check_match(preset)
        SessionReader(preset)
        return self


def _conditions(parts: Iterable[ConditionPart]) -> Conditions:
    return tuple(each.condition for each in parts)


def _source(value: Any) -> ResourceSource:
    if isinstance(value, Path | NamedResources):
        return value
    return tuple(ResourceField(name, amount) for name, amount in value.items())


def _pod_value(written: str) -> PodValue | Path:
    words = {each.value for each in PodValue}
    return PodValue(written) if written in words else field_paths.parse(written)
