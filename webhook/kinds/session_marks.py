"""
The marks of presets: the names that an object or its namespace carries, each with what said it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from webhook.kinds.evaluator import UncountableError
from webhook.kinds.field_values import FieldError, text
from webhook.kinds.session_fields import Scope
from webhook.quota import delegation
from webhook.quota.delegation import Mark, Place
from webhook.quota.field_paths import Name, Path, Step
from webhook.quota.presets import FieldMark, Requester

_SYSTEM = "system:"
_OBJECT_MAPS = {Place.ANNOTATION: "annotations", Place.LABEL: "labels"}
_NAMESPACE = Path("metadata.namespace", (Name("metadata"), Name("namespace")))


class NamespaceTexts(NamedTuple):
    """What the namespace of an object carries."""

    labels: Mapping[str, str] = {}
    annotations: Mapping[str, str] = {}


class Said(NamedTuple):
    """A text, and what said it: a mark, or a field."""

    text: str
    by: str


def steps_of(marks: Iterable[FieldMark | Mark | Requester]) -> Iterator[tuple[Step, ...]]:
    """Yield the steps from the object to what *marks* look for in it, and to the name of its namespace."""
    yield _NAMESPACE.steps
    for mark in marks:
        if isinstance(mark, FieldMark):
            yield mark.field.steps
        elif isinstance(mark, Mark) and mark.place in _OBJECT_MAPS:
            yield _mark_steps(mark)


def _mark_steps(mark: Mark) -> tuple[Step, ...]:
    return (Name("metadata"), Name(_OBJECT_MAPS[mark.place]), Name(mark.key))


def first(marks: Iterable[FieldMark | Mark], root: Scope, namespace: NamespaceTexts) -> Said | None:
    """
    Return the first name that *marks* say; a name of the system is skipped. Raises: UncountableError.

    A name that is too long or unprintable ends the search: a later mark would say somebody else.
    """
    for mark in marks:
        for where, written in _written(mark, root, namespace):
            if len(written) > delegation.LONGEST:
                raise UncountableError(where, FieldError(f"the name is longer than {delegation.LONGEST} characters"))
            name = delegation.name_in(written, mark.pattern, mark.decode, mark.prefix)
            if name is not None and not name.isprintable():
                raise UncountableError(where, FieldError("the name has control characters"))
            if name is not None and not name.startswith(_SYSTEM):
                return Said(name, str(mark))
    return None


def _written(mark: FieldMark | Mark, root: Scope, namespace: NamespaceTexts) -> Iterator[tuple[str, str]]:
    """Yield what is written where *mark* looks, each with its place."""
    if isinstance(mark, FieldMark) or mark.place in _OBJECT_MAPS:
        path = mark.field if isinstance(mark, FieldMark) else Path(mark.key, _mark_steps(mark))
        yield from ((found.where, text(found)) for found in root.find(path) if not found.is_null)
        return
    match mark.place:
        case Place.NAMESPACE_ANNOTATION:
            written = namespace.annotations.get(mark.key, "")
        case Place.NAMESPACE_LABEL:
            written = namespace.labels.get(mark.key, "")
        case _:
            written = text_at(_NAMESPACE, root)
    if written:
        yield str(mark), written


def text_at(path: Path, root: Scope) -> str:
    """Return the text at *path*, empty if it is absent. Raises: UncountableError."""
    return next((text(found) for found in root.find(path) if not found.is_null), "")
