"""
Sessions as kinds: the row and the evaluator of a kind whose objects a preset reads as sessions.

A session costs its place in `sessions`; its pods carry the compute, so that nothing counts twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Raw, Struct, field, structs

from webhook.kinds.counted import Counted
from webhook.kinds.evaluator import NO_DEFAULTS, AnyKind, CostLine, Kind, PodDefaults, Size, UncountableError
from webhook.kinds.session_marks import NamespaceTexts
from webhook.kinds.sessions import API_VERSION, KIND, SessionReader, SessionReading, State
from webhook.quota import quantity
from webhook.quota.delegation import Texts
from webhook.quota.objects import NOTHING, LabelledMeta, OwnerReference
from webhook.quota.presets import PER_SESSION, SESSIONS, Preset
from webhook.quota.resources import Amounts

_meta_decoder = msgspec.json.Decoder(LabelledMeta)


class SessionObject(Struct, frozen=True, rename="camel"):
    """An object of any kind: raw, because a preset says at run time which fields matter."""

    api_version: str = ""
    kind: str = ""
    raw_metadata: Raw = field(name="metadata", default=Raw(b"{}"))
    spec: Raw = NOTHING
    status: Raw = NOTHING
    metadata: LabelledMeta = field(name="(of raw_metadata)", default=LabelledMeta())
    """Name, uid, version, owner references and the stamp."""

    def __post_init__(self) -> None:
        """Decode the metadata, whatever the JSON has under the name that stands in for them."""
        structs.force_setattr(self, "metadata", _meta_decoder.decode(self.raw_metadata))

    @property
    def body(self) -> bytes:
        """Return the object as JSON."""
        fields = {"metadata": self.raw_metadata, "spec": self.spec, "status": self.status}
        texts = [f'"apiVersion":{_text(self.api_version)},"kind":{_text(self.kind)}'.encode()]
        texts += [f'"{name}":'.encode() + bytes(raw) for name, raw in fields.items() if bytes(raw)]
        return b"{" + b",".join(texts) + b"}"


class ScaledSession(SessionObject, frozen=True):
    """A session as a write to its scale subresource makes it. Never decoded."""

    replicas: int = 0


def scaled(session: SessionObject, replicas: int) -> ScaledSession:
    """Return *session* with as many *replicas*, in the field of its preset that the scale subresource sets."""
    return ScaledSession(**structs.asdict(session), replicas=replicas)


def _text(value: str) -> str:
    return msgspec.json.encode(value).decode()


class SessionEvaluator(Counted[SessionObject]):
    """
    Charges a session its place, and says how large it is.

    A session that another one makes is part of that one: a RayCluster of a RayJob has no place of its own.
    """

    def __init__(
        self,
        resource: str,
        presets: Sequence[Preset],
        *,
        frees_stopped: bool,
        is_session: Callable[[OwnerReference], bool],
        reserves: bool = False,
    ) -> None:
        """
        Count *resource*, e.g. `count/notebooks.kubeflow.org`, and what the first of *presets* that matches reads.

        *frees_stopped*: one that is stopped gives its place back. *is_session* tells whether a controller is one.
        *reserves*: one that runs is as large as it may become, and keeps that room.
        """
        super().__init__(resource)
        self._is_session = is_session
        self._readers: tuple[SessionReader, ...] = ()
        self._last: tuple[SessionObject, PodDefaults, SessionReading | None] | None = None
        self._frees_stopped = self._reserves = False
        self.unreadable: Amounts = ((resource, quantity.NANOS), (SESSIONS, quantity.NANOS))
        self.read_by(presets, frees_stopped=frees_stopped, reserves=reserves)

    def read_by(self, presets: Sequence[Preset], *, frees_stopped: bool, reserves: bool = False) -> bool:
        """Read objects by *presets* from now on, as no sessions without any; return whether that is another way."""
        way = (list(presets), frees_stopped, reserves)
        if way == ([each.preset for each in self._readers], self._frees_stopped, self._reserves):
            return False
        self._readers = tuple(map(SessionReader, presets))
        self._frees_stopped, self._reserves = frees_stopped, reserves
        self.count_anew()
        return True

    @property
    def reads_sessions(self) -> bool:
        """Whether there is any preset to read objects by."""
        return bool(self._readers)

    def count_anew(self) -> None:
        """Have all objects counted anew: what is a session beside them has changed, and they may be part of one."""
        self._last = None
        self.generation += 1

    def usage(self, obj: SessionObject, *, now: datetime | None) -> Amounts:  # noqa: ARG002 - time changes nothing
        """Return its number, and its place in `sessions` if it has one. Raises: UncountableError."""
        number = (self.unreadable[0],)
        reading = self._read(obj)
        if reading is None or reading.state is State.ENDED:
            return number
        if self._frees_stopped and reading.state is State.STOPPED:
            return number
        return self.unreadable

    def size(self, obj: SessionObject, defaults: PodDefaults = NO_DEFAULTS) -> Size | None:
        """
        Return what its pods cost, also while it is stopped; None if it is no session.

        Where room is kept for them, those that it may have at most, if that is bounded. Raises: UncountableError.
        """
        reading = self._read(obj, defaults)
        if reading is None:
            return None
        is_partial = bool(reading.elsewhere) or not reading.pods
        most = reading.most if self._reserves else None
        return Size(
            reading.amounts if most is None else most,
            reading.state is State.RUNNING,
            reading.pod_labels,
            reading.times,
            is_partial,
            reading.names_runtime_class,
            is_kept=self._reserves,
        )

    def may_stay(self, obj: SessionObject, old: SessionObject, error: UncountableError) -> bool:
        """
        Whether only the metadata of a session change that was unreadable before: it may be older than its preset.

        Not in a version that no preset knows: the API server serves each object in all versions of its kind, so that
        one which is well readable would be changed unseen.
        """
        return (
            error.path not in (API_VERSION, KIND) and bytes(obj.spec) == bytes(old.spec) and not self._is_readable(old)
        )

    def former_cost(
        self, obj: SessionObject, *, now: datetime | None, defaults: PodDefaults = NO_DEFAULTS
    ) -> tuple[Amounts, Size | None]:
        """Return what a session costs, and its pods; one that cannot be read has a place, and no known pods."""
        try:
            return super().former_cost(obj, now=now, defaults=defaults)
        except UncountableError:
            return self.unreadable, None

    def _is_readable(self, obj: SessionObject) -> bool:
        try:
            self._read(obj)
        except UncountableError:
            return False
        return True

    def user_of(self, obj: SessionObject, texts: Texts) -> tuple[str, str] | None:
        """Return the user whom the marks of the preset name, and the mark. Raises: UncountableError."""
        namespace = NamespaceTexts(texts.namespace_labels, texts.namespace_annotations)
        reading = next(self._readings(obj, namespace), None)
        return None if reading is None or reading.user is None else (reading.user.text, reading.user.by)

    def filled_by(self, obj: SessionObject, body: bytes) -> str | None:  # noqa: ARG002 - it keeps its own
        """Return the category of a session whose pods are known by its name. Raises: UncountableError."""
        reading = self._read(obj)
        return None if reading is None else reading.filled_by

    def counts(self, resource: str) -> bool:
        """Whether *resource* is the count of this kind, or of sessions."""
        return resource == SESSIONS or super().counts(resource)

    def explain(self, obj: SessionObject) -> Mapping[str, CostLine]:
        """Return one object, and one session if it is one. Raises: UncountableError."""
        return {name: CostLine(quantity.ONE, "one object") for name, _ in self.usage(obj, now=None)}

    def _read(self, obj: SessionObject, defaults: PodDefaults | None = None) -> SessionReading | None:
        """
        Return what the presets say; read once for the questions that follow one another on one object.

        Without *defaults* the size does not matter.
        """
        last = self._last
        if last is None or last[0] is not obj or defaults not in (None, last[1]):
            above = obj.metadata.controller
            is_part = above is not None and self._is_session(above)
            filled = NO_DEFAULTS if defaults is None else defaults
            last = self._last = obj, filled, None if is_part else next(self._readings(obj, defaults=filled), None)
        return last[2]

    def _readings(
        self, obj: SessionObject, namespace: NamespaceTexts | None = None, *, defaults: PodDefaults = NO_DEFAULTS
    ) -> Iterator[SessionReading]:
        """Yield what the presets say whose `match` holds; whose it is only with the texts of a *namespace*."""
        texts = namespace or NamespaceTexts()
        replicas = obj.replicas if isinstance(obj, ScaledSession) else None
        for reader in self._readers:
            reading = reader.read(
                obj.body, texts, replicas=replicas, defaults=defaults, is_attributed=namespace is None
            )
            if reading is not None:
                yield reading


def makers_of(presets: Iterable[Preset]) -> frozenset[str]:
    """Return the controllers of the platforms of *presets*."""
    return frozenset(maker for each in presets for maker in each.controllers)


def session_kind(kind: AnyKind, evaluator: SessionEvaluator, makers: Iterable[str]) -> Kind[Any]:
    """
    Return *kind*, as the API serves it, with *evaluator*; *makers* are the controllers of its platform.

    It is one of sessions, with a cap, while the evaluator has presets.
    """
    cap = PER_SESSION if evaluator.reads_sessions else None
    return replace(kind, shape=SessionObject, evaluator=evaluator, makers=frozenset(makers), cap=cap)
