"""
The fields of a custom object that a preset names: decoded once, all others skipped.

The paths of a preset become one tree of msgspec types. Values stay raw JSON until they are read, so that no number
passes a float.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import msgspec
from msgspec import Raw

from webhook.kinds.evaluator import UncountableError
from webhook.kinds.pod_shapes import PodSpec
from webhook.kinds.resource_lists import read_quantity
from webhook.quota.field_paths import Each, Name, Path, Step
from webhook.quota.objects import NOTHING
from webhook.quota.presets import Condition, Operator
from webhook.quota.quantity import NANOS, QuantityError

_MOST_VISITED = 10_000
"""Values that are looked at in one object. A pod template counts as one."""

_MOST_DIGITS = 19
"""Digits of a whole number: those of an `int64`."""

_LONGEST_TEXT = 1024
"""Bytes of a text that is compared with those of a preset, which are shorter."""


class FieldError(ValueError):
    """What is wrong with the value of a field."""


class _Node:
    """One place in the tree: a value, an object with `children`, a list or map of `items`, or the spec of a pod."""

    __slots__ = ("attributes", "children", "is_pod", "items")

    def __init__(self) -> None:
        self.children: dict[str, _Node] = {}
        self.items: _Node | None = None
        self.is_pod = False
        self.attributes: dict[str, str] = {}

    def at(self, steps: Iterable[Step]) -> _Node:
        """Return the node at *steps*, made if it is not there."""
        node = self
        for step in steps:
            if isinstance(step, Each):
                if node.items is None:
                    node.items = _Node()
                node = node.items
                if step.key:
                    node.at((Name(step.key),))
            else:
                node = node.children.setdefault(step.name, _Node())
        return node

    def merge(self, other: _Node) -> None:
        """Take over what *other* names."""
        self.is_pod = self.is_pod or other.is_pod
        for name, child in other.children.items():
            self.children.setdefault(name, _Node()).merge(child)
        if other.items is not None:
            self.items = self.items or _Node()
            self.items.merge(other.items)

    def finish(self) -> Any:
        """Return the type to decode this place with; a map that is also read key by key has one type of values."""
        if self.is_pod:
            return PodSpec | None
        if self.items is not None:
            for child in self.children.values():
                self.items.merge(child)
            self.children = {}
            item: Any = self.items.finish()
            return list[item] | dict[str, item] | None
        if not self.children:
            return Raw
        self.attributes = {name: f"field{index}" for index, name in enumerate(self.children)}
        fields = []
        for name, child in self.children.items():
            shape = child.finish()
            fields.append((self.attributes[name], shape, NOTHING if shape is Raw else None))
        rename = {attribute: name for name, attribute in self.attributes.items()}
        return msgspec.defstruct("Fields", fields, rename=rename, frozen=True, gc=False) | None


class Found(NamedTuple):
    """A value that is there: its place, as in `spec.groups[2].replicas`, and its JSON; empty for an object or list."""

    where: str
    raw: bytes

    @property
    def is_null(self) -> bool:
        """Whether it is null."""
        return self.raw == b"null"


class _Visits:
    """How many values of one object were looked at."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0

    def add(self, where: str) -> None:
        self.count += 1
        if self.count > _MOST_VISITED:
            raise UncountableError(where, FieldError(f"the object has more than {_MOST_VISITED} values to look at"))


class Scope(NamedTuple):
    """An object, or an item inside one, in which paths are looked up."""

    node: _Node
    value: Any
    where: str
    visits: _Visits
    root: Scope | None = None

    def scopes(self, path: Path) -> Iterator[Scope]:
        """Yield what *path* leads to, in the order of the object. Raises: UncountableError."""
        start = self.root if path.is_from_root and self.root is not None else self
        return start.after(path.steps)

    def after(self, steps: Sequence[Step]) -> Iterator[Scope]:
        """Yield what *steps* lead to from here. Raises: UncountableError."""
        if not steps:
            yield self
            return
        for scope in self._step(steps[0]):
            yield from scope.after(steps[1:])

    def find(self, path: Path) -> Iterator[Found]:
        """Yield the values at *path*; null is one. Raises: UncountableError."""
        for scope in self.scopes(path):
            raw = bytes(scope.value) if isinstance(scope.value, Raw) else b""
            yield Found(scope.where, raw)

    def pod_spec(self, path: Path) -> Iterator[tuple[str, PodSpec | None]]:
        """Yield the pod specs under the templates at *path*, each with its place. Raises: UncountableError."""
        for template in self.scopes(path):
            for scope in template.after((Name("spec"),)):
                yield scope.where, scope.value

    def _step(self, step: Step) -> Iterator[Scope]:
        """Yield the values one step further; nothing for what is absent, and for a list, map or object with null."""
        node, value = self.node, self.value
        if value is None:
            return
        if isinstance(step, Name):
            if node.items is None:
                child, inner = node.children[step.name], getattr(value, node.attributes[step.name])
            else:
                child, inner = node.items, value.get(step.name) if isinstance(value, dict) else None
            if inner is not None and (not isinstance(inner, Raw) or bytes(inner)):
                yield self._inside(child, inner, _joined(self.where, step.name))
            return
        if node.items is None:
            return
        listed = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in listed:
            where = f"{self.where}[{key}]" if isinstance(key, int) else _joined(self.where, key)
            scope = self._inside(node.items, item, where)
            if not step.key or scope.has_text(step.key, step.value):
                yield scope

    def _inside(self, node: _Node, value: Any, where: str) -> Scope:
        self.visits.add(where)
        return Scope(node, value, where, self.visits, self.root or self)

    def has_text(self, key: str, value: str) -> bool:
        """Whether field *key* holds the text *value*."""
        found = next(iter(self.after((Name(key),))), None)
        return found is not None and isinstance(found.value, Raw) and scalar(bytes(found.value)) == value


class FieldTree:
    """The fields that are decoded of one kind of object. Build one for each preset, and keep it."""

    def __init__(self, values: Iterable[Sequence[Step]], pod_specs: Iterable[Sequence[Step]]) -> None:
        """Take the steps of all values, and those of the specs of pods; none may lie inside the latter."""
        self._root = _Node()
        for steps in values:
            self._root.at(steps)
        for steps in pod_specs:
            self._root.at(steps).is_pod = True
        self._decoder = msgspec.json.Decoder(self._root.finish())

    def decode(self, body: bytes) -> Scope:
        """Return the object in *body*. Raises: UncountableError for one whose fields have other types."""
        try:
            decoded = self._decoder.decode(body)
        except RecursionError as error:
            raise UncountableError("the object", FieldError("it is nested too deeply")) from error
        except UnicodeDecodeError as error:
            raise UncountableError("the object", FieldError("it is no UTF-8")) from error
        except msgspec.MsgspecError as error:
            message, _, place = str(error).partition(" - at `$")
            where = place.rstrip("`").lstrip(".") or "the object"
            raise UncountableError(where, FieldError(_lowered(message))) from error
        if decoded is None:
            raise UncountableError("the object", FieldError("it is null"))
        return Scope(self._root, decoded, "", _Visits())


def _joined(where: str, name: str) -> str:
    if not name.replace("-", "").replace("_", "").isalnum():
        return f'{where}["{name}"]'
    return f"{where}.{name}" if where else name


def _lowered(message: str) -> str:
    return message[:1].lower() + message[1:]


def scalar(raw: bytes) -> str | int | bool | None:
    """Return a text, whole number or truth value; None for anything else, and for what no preset compares with."""
    if not raw or raw[:1] in b"{[" or len(raw) > _LONGEST_TEXT:
        return None
    try:
        read = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return read if isinstance(read, (str, int)) else None


def holds(condition: Condition, scope: Scope) -> bool:
    """Whether *condition* holds in *scope*. Raises: UncountableError."""
    found = [each for each in scope.find(condition.field) if not each.is_null]
    if condition.operator is Operator.EXISTS:
        return bool(found)
    if condition.operator is Operator.DOES_NOT_EXIST:
        return not found
    wanted = {(type(value), value) for value in condition.values}
    is_among = any((type(value), value) in wanted for value in (scalar(each.raw) for each in found))
    return is_among is (condition.operator is Operator.IN)


def text(found: Found) -> str:
    """Return a text. Raises: UncountableError."""
    if not found.raw.startswith(b'"'):
        raise UncountableError(found.where, FieldError(f"expected text, not {_kind_of(found.raw)}"))
    try:
        read: str = msgspec.json.decode(found.raw, type=str)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UncountableError(found.where, FieldError("the text is no UTF-8")) from error
    return read


def count(scope: Scope, path: Path) -> Fraction | None:
    """Return the sum of the whole numbers at *path*, None if there is none. Raises: UncountableError."""
    return _sum(whole(each) for each in scope.find(path))


def amount(scope: Scope, path: Path) -> Fraction | None:
    """Return the sum of the quantities at *path* in units, None if there is none. Raises: UncountableError."""
    return _sum(quantity(each) for each in scope.find(path))


def whole(found: Found) -> Fraction:
    """Return a whole number that is not negative. Raises: UncountableError."""
    raw = found.raw
    if not raw.isdigit():
        negative = raw[:1] == b"-" and raw[1:].isdigit()
        why = f"{raw.decode()} is negative" if negative else f"expected a whole number, not {_kind_of(raw)}"
        raise UncountableError(found.where, FieldError(why))
    if len(raw) > _MOST_DIGITS:
        raise UncountableError(found.where, FieldError(f"the number has more than {_MOST_DIGITS} digits"))
    return Fraction(int(raw))


def quantity(found: Found) -> Fraction:
    """Return a quantity in units, as the API server reads it; null is none. Raises: UncountableError."""
    if not found.raw or found.raw[:1] not in b'"-0123456789':
        raise UncountableError(found.where, FieldError(f"expected a quantity, not {_kind_of(found.raw)}"))
    try:
        return Fraction(read_quantity(found.raw.decode(errors="replace")).nanos, NANOS)
    except QuantityError as error:
        raise UncountableError(found.where, error) from error


def _sum(values: Iterable[Fraction]) -> Fraction | None:
    listed = list(values)
    return sum(listed, Fraction(0)) if listed else None


def _kind_of(raw: bytes) -> str:
    """Return what the JSON *raw* is, in words."""
    first = raw[:1]
    if first == b'"':
        return "a text"
    if raw in (b"true", b"false"):
        return f"the truth value {raw.decode()}"
    if raw == b"null":
        return "null"
    if first in (b"", b"{", b"["):
        return "an object or a list"
    return f"the number {raw[:40].decode()}"
