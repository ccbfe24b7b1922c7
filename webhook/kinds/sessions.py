"""
Sessions: what one object of a platform says by the preset of its kind. Pure; the object is decoded once.

`session_fields` decodes, `session_size` adds up. Who may name a user, and what is charged, is decided elsewhere.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace

from webhook.kinds import session_size
from webhook.kinds.evaluator import NO_DEFAULTS, PodDefaults, UncountableError
from webhook.kinds.field_values import FieldError, scalar, text
from webhook.kinds.session_fields import FieldTree, Scope, holds
from webhook.kinds.session_marks import NamespaceTexts, Said, first, steps_of, text_at
from webhook.kinds.session_size import PartSize
from webhook.kinds.session_times import times
from webhook.quota.delegation import Mark
from webhook.quota.durations import NO_TIMES, Times
from webhook.quota.field_paths import Name, Path, Step
from webhook.quota.presets import Conditions, FieldMark, Labels, PodValue, Preset, Requester
from webhook.quota.resources import Amounts

API_VERSION, KIND = "apiVersion", "kind"
"""The paths of the errors on objects of another kind or version than a preset is for."""

_API_VERSION, _KIND = (Path(each, (Name(each),)) for each in (API_VERSION, KIND))
_NAME, _UID, _NAMESPACE = (
    Path(f"metadata.{each}", (Name("metadata"), Name(each))) for each in ("name", "uid", "namespace")
)
_POD_VALUES = {PodValue.NAME: _NAME, PodValue.UID: _UID}
_ALWAYS = (_API_VERSION, _KIND, _NAME, _UID, _NAMESPACE)


class State(enum.Enum):
    """Whether a session has pods: it runs, it can be started again, or it is over."""

    RUNNING = "running"
    STOPPED = "stopped"
    ENDED = "ended"


_NO_TEXTS = NamespaceTexts()


@dataclass(frozen=True, slots=True)
class SessionReading:
    """
    What an object says.

    `user` is None where whoever creates the object is its user, and where it was not read. `amounts` are those of all
    its pods at the current size, whether it runs or not, `pods` their number. `state_by` is the condition that made the
    state, empty if none holds. `elsewhere` are the conditions by which another object decides on the size, so that
    `amounts` are not all of it. `pod_labels` are alternatives: a pod with all labels of one is a pod of the session.
    There are none for sessions that are pods, and while the object has no uid or status yet that they need.
    `filled_by` is the category by which its pods are filled, empty if it has none; None if its pods are not known by
    its name, so that nobody can tell when they are made. `names_runtime_class`: the template of a pod does.
    """

    user: Said | None
    project: Said | None
    groups: tuple[str, ...]
    state: State
    state_by: str
    parts: tuple[PartSize, ...]
    amounts: Amounts
    pods: int
    elsewhere: tuple[str, ...]
    pod_labels: tuple[Labels, ...]
    duration: str | int | None = None
    idle: str | int | None = None
    category: Said | None = None
    times: Times = NO_TIMES
    filled_by: str | None = None
    names_runtime_class: bool = False

    @property
    def most(self) -> Amounts | None:
        """The amounts of all its pods at its upper bound, None if there is none."""
        if any(part.most is None for part in self.parts):
            return None
        return session_size.total((part, part.most or 0) for part in self.parts)


class SessionReader:
    """Reads objects by one preset. Build it once for a preset; any number of threads may call it."""

    def __init__(self, preset: Preset) -> None:
        """Build the decoder. Raises: FieldError if a path lies inside a pod template."""
        self.preset = preset
        values: list[tuple[Step, ...]] = [path.steps for path in (*_ALWAYS, *preset.paths())]
        marks = (*preset.user, *preset.project, *preset.category)
        values += steps_of(marks)
        values += [steps for part in preset.parts for steps in session_size.value_steps(part)]
        specs = [steps for part in preset.parts for steps in session_size.pod_spec_steps(part)]
        inside = next((value for value in values for spec in specs if value[: len(spec)] == spec), None)
        if inside is not None:
            raise FieldError(
                f"{'.'.join(getattr(each, 'name', '') or '[*]' for each in inside)} is inside a pod template"
            )
        self._tree = FieldTree(values, specs)

    def read(
        self,
        body: bytes,
        namespace: NamespaceTexts = _NO_TEXTS,
        *,
        replicas: int | None = None,
        defaults: PodDefaults = NO_DEFAULTS,
        is_attributed: bool = False,
    ) -> SessionReading | None:
        """
        Return what the object in *body* (JSON) says; None if it is no session by the `match` of the preset.

        *replicas* are those that a request to its scale subresource sets, in place of those in the object.
        *defaults* are filled into its pods. Of an object that *is_attributed* already, by a stamp, the user is not
        read: a mark that somebody spoilt must not change what it costs.
        Raises: UncountableError with the field that cannot be read.
        """
        scale = self.preset.scale
        replaced = {scale.steps: str(replicas).encode()} if scale is not None and replicas is not None else {}
        root = self._tree.decode(body, replaced)
        self._check_type(root)
        if not _all_hold(self.preset.match, root):
            return None
        reading = self._reading(root, namespace, defaults)
        return reading if is_attributed else replace(reading, user=self._user(root, namespace))

    def _reading(self, root: Scope, namespace: NamespaceTexts, defaults: PodDefaults) -> SessionReading:
        preset = self.preset
        state, state_by = self._state(root)
        category = first(preset.category, root, namespace)
        filled_by = None if not preset.names_pods else category.text if category is not None else ""
        parts = tuple(session_size.sizes(preset.parts, root, defaults.of_category(filled_by)))
        return SessionReading(
            user=None,
            project=first(preset.project, root, namespace),
            groups=tuple(map(text, root.find(preset.groups))) if preset.groups is not None else (),
            state=state,
            state_by=state_by,
            parts=parts,
            amounts=session_size.total((part, part.count) for part in parts),
            pods=sum(part.count for part in parts),
            elsewhere=tuple(str(each) for each in preset.elsewhere if holds(each, root)),
            pod_labels=self._pod_labels(root),
            duration=_plain(preset.duration, root),
            idle=_plain(preset.idle, root),
            category=category,
            times=times(preset, root),
            filled_by=filled_by,
            names_runtime_class=session_size.names_runtime_class(preset.parts, root),
        )

    def _check_type(self, root: Scope) -> None:
        preset = self.preset
        api_version, kind = text_at(_API_VERSION, root), text_at(_KIND, root)
        if not kind or not api_version:
            raise UncountableError(API_VERSION if kind else KIND, FieldError("absent"))
        if kind != preset.kind or api_version.rpartition("/")[0] != preset.group:
            why = f"{kind} of {api_version} is no {preset.kind} of {preset.group or 'the core group'}"
            raise UncountableError(KIND, FieldError(why))
        if api_version not in preset.api_versions:
            why = f"preset {preset.name} does not know {api_version}, only {', '.join(preset.api_versions)}"
            raise UncountableError(API_VERSION, FieldError(why))

    def _state(self, root: Scope) -> tuple[State, str]:
        for state, alternatives in ((State.ENDED, self.preset.ended), (State.STOPPED, self.preset.stopped)):
            for conditions in alternatives:
                if _all_hold(conditions, root):
                    return state, " and ".join(map(str, conditions))
        return State.RUNNING, ""

    def _user(self, root: Scope, namespace: NamespaceTexts) -> Said | None:
        said = first([mark for mark in self.preset.user if not isinstance(mark, Requester)], root, namespace)
        if said is None and Requester.REQUESTER not in self.preset.user:
            tried = ", ".join(map(str, self.preset.user))
            raise UncountableError(
                _named(self.preset.user[0]), FieldError(f"nothing says whose session it is; tried {tried}")
            )
        return said

    def _pod_labels(self, root: Scope) -> tuple[Labels, ...]:
        found = []
        for known in self.preset.pods:
            path = known.value if isinstance(known.value, Path) else _POD_VALUES[known.value]
            value = text_at(path, root)
            if value:
                found.append(known.of_session(value))
        return tuple(found)


def _named(mark: FieldMark | Mark | Requester) -> str:
    return str(mark.field) if isinstance(mark, FieldMark) else str(mark)


def _all_hold(conditions: Conditions, root: Scope) -> bool:
    return all(holds(condition, root) for condition in conditions)


def _plain(path: Path | None, root: Scope) -> str | int | None:
    """Return a text or whole number as it is written."""
    return next((scalar(found.raw) for found in root.find(path)), None) if path is not None else None
