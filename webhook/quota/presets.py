"""
Presets: how objects of some kind are read as sessions. Data only; `kinds.sessions` reads objects by it.

`documents.preset_schema` makes them of text, and docs/sessions.md has every field.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from webhook.quota.delegation import Decoding, Mark
from webhook.quota.durations import DURATION, IDLE
from webhook.quota.expressions import Expression
from webhook.quota.field_paths import Path

SESSIONS = "sessions"
"""The resource that a session costs one of."""
PER_SESSION = "perSession"
"""The field of a policy that bounds one session."""

NO_BOUND = 2**31 - 1
"""An upper bound of this many replicas or more is none: CRDs write the largest `int32` for it."""


@dataclass(frozen=True, slots=True)
class FieldMark:
    """A field of the object in which a name is written; the rest is as in a `Mark`."""

    field: Path
    pattern: str = "*"
    decode: tuple[Decoding, ...] = ()
    prefix: str = ""

    def __str__(self) -> str:
        """Return it as in the audit log."""
        return f"field {self.field}"


class Requester(enum.Enum):
    """The last mark of a list: who creates the object is its user."""

    REQUESTER = "requester"

    def __str__(self) -> str:
        """Return it as in the audit log."""
        return self.value


UserMark = FieldMark | Mark | Requester


class Operator(enum.Enum):
    """How a field is compared, in the words of a label selector."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


Constant = str | int | bool


@dataclass(frozen=True, slots=True)
class Condition:
    """
    A comparison of one field. A field with null is absent, and an absent field is in no values.

    Of a path that stands for several values one is enough; for NotIn none of them may be one of the values.
    """

    field: Path
    operator: Operator
    values: tuple[Constant, ...] = ()

    def __str__(self) -> str:
        """Return it for people: `spec.state In hibernated,terminated`."""
        listed = ",".join(str(each).lower() if isinstance(each, bool) else str(each) for each in self.values)
        return f"{self.field} {self.operator.value} {listed}".rstrip()


Conditions = tuple[Condition, ...]
"""All have to hold."""


@dataclass(frozen=True, slots=True)
class ResourceField:
    """An amount of one resource."""

    name: str
    amount: Expression


@dataclass(frozen=True, slots=True)
class NamedResources:
    """Texts that are names of resources: one of each, as often as it is named."""

    path: Path


ResourceSource = Path | NamedResources | tuple[ResourceField, ...]
"""
A map of amounts by resource name, names of resources, or an expression for each name.

Of several sources the first that has a name counts.
"""


@dataclass(frozen=True, slots=True)
class Container:
    """
    A container of a pod; with `each`, one for each item of a list, whose paths begin at the item.

    It is there if all of `when` hold. Of several sources of an amount the first one that has it counts.
    """

    each: Path | None = None
    when: Conditions = ()
    requests: tuple[ResourceSource, ...] = ()
    limits: tuple[ResourceSource, ...] = ()


@dataclass(frozen=True, slots=True)
class Part:
    """
    Some of the pods of a session, all of one size; with `each`, for each item of a list, whose paths begin at the item.

    A pod is that of the template at `template` (an object with `spec`, and `metadata` for annotations), and has the
    `containers` and `init_containers` besides. There are `times` of it, and at most `up_to`; without `up_to` as many as
    there are.
    """

    name: str
    each: Path | None = None
    when: Conditions = ()
    template: Path | None = None
    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] = ()
    times: Expression | None = None
    up_to: Expression | None = None


Labels = tuple[tuple[str, str], ...]
"""Labels of pods, in the order in which a preset names them."""


class PodValue(enum.Enum):
    """What the label of a session's pods has as its value."""

    NAME = "name"
    UID = "uid"


@dataclass(frozen=True, slots=True)
class PodLabel:
    """
    How the pods of a session are known: by the value of label `key`, which is the session's name, uid or a field.

    `also` are further labels that they have; pods of the platform's helpers lack those.
    """

    key: str
    value: PodValue | Path
    also: tuple[tuple[str, str], ...] = ()

    def of_session(self, value: str) -> Labels:
        """Return the labels that the pods of the session with this *value* have."""
        return ((self.key, value), *self.also)

    def on_pod(self, labels: Mapping[str, str]) -> Labels | None:
        """Return those of the *labels* of a pod by which it is known as one of some session; None if it is not."""
        value = labels.get(self.key)
        return self.of_session(value) if value and all(labels.get(key) == text for key, text in self.also) else None


@dataclass(frozen=True, slots=True)
class Preset:
    """
    How one kind is read.

    `versions` are the API versions whose fields it knows. `match` says which objects of the kind are sessions.
    `user`, `project` and `category` are marks, tried in their order. `stopped` and `ended` are alternatives: a session
    that is stopped can be started again, one that has ended cannot. `elsewhere` are conditions under any of which
    another object decides on the size too. `pods` are alternatives, none for sessions that are pods themselves.
    `controllers` are the usernames that make objects for its sessions. `scale` is the field that the
    scale subresource sets, None if the kind has none.
    `checked` says with which release the fields were compared.
    """

    name: str
    group: str
    kind: str
    plural: str
    versions: tuple[str, ...]
    user: tuple[UserMark, ...]
    parts: tuple[Part, ...]
    match: Conditions = ()
    project: tuple[FieldMark | Mark, ...] = ()
    groups: Path | None = None
    stopped: tuple[Conditions, ...] = ()
    ended: tuple[Conditions, ...] = ()
    elsewhere: Conditions = ()
    pods: tuple[PodLabel, ...] = ()
    controllers: tuple[str, ...] = ()
    scale: Path | None = None
    duration: Path | None = None
    idle: Path | None = None
    category: tuple[FieldMark | Mark, ...] = ()
    checked: str = ""

    @property
    def times(self) -> Mapping[str, Path]:
        """Return the fields of what a session sets of `duration` and `idle`; of a pod none are read."""
        found = {DURATION: self.duration, IDLE: self.idle}
        return {} if self.resource == "pods" else {name: path for name, path in found.items() if path is not None}

    @property
    def names_pods(self) -> bool:
        """Whether the labels of a pod tell the name of its session, or the pod is one."""
        return all(each.value is PodValue.NAME for each in self.pods)

    def session_of(self, labels: Mapping[str, str]) -> str | None:
        """Return the name of the session whose pod has these *labels*; None if they tell none."""
        known = (each for each in self.pods if each.value is PodValue.NAME and each.on_pod(labels))
        return next((labels[each.key] for each in known), None) if self.names_pods else None

    @property
    def resource(self) -> str:
        """Return the plural with its group: `notebooks.kubeflow.org`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def api_versions(self) -> tuple[str, ...]:
        """Return the versions as objects name them: `kubeflow.org/v1`."""
        return tuple(f"{self.group}/{each}" if self.group else each for each in self.versions)

    def paths(self) -> Iterator[Path]:
        """Yield every path of a value of the object itself, not those inside a part."""
        for mark in (*self.user, *self.project, *self.category):
            if isinstance(mark, FieldMark):
                yield mark.field
        alternatives = (self.match, self.elsewhere, *self.stopped, *self.ended)
        yield from (condition.field for conditions in alternatives for condition in conditions)
        values = (self.groups, self.duration, self.idle, self.scale, *(each.value for each in self.pods))
        yield from (path for path in values if isinstance(path, Path))
