"""
The fields of a custom object that a preset names: decoded once, all others skipped.

The paths of a preset become one tree of msgspec types. Values stay raw JSON until they are read, so that no number
passes a float.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec import Raw

from webhook.kinds.evaluator import UncountableError
from webhook.kinds.field_values import FieldError, Found, quantity, scalar, whole
from webhook.kinds.misfits import misfit
from webhook.kinds.pod_shapes import PodSpec
from webhook.quota.expressions import Number
from webhook.quota.field_paths import Each, Name, Path, Step
from webhook.quota.objects import NOTHING
from webhook.quota.presets import Condition, Operator

_MOST_VISITED = 10_000
"""Values that are looked at in one object. A pod template counts as one."""

Steps = tuple[Step, ...]
_NOTHING: Mapping[Steps, bytes] = {}


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
            if self.children or self.items is not None:
                raise FieldError("a path lies inside a pod template")
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


class _Object:
    """What is known of the object beside its fields: how many values were looked at, and those that are replaced."""

    __slots__ = ("replaced", "visits")

    def __init__(self, replaced: Mapping[Steps, bytes]) -> None:
        self.replaced = replaced
        self.visits = 0

    def visit(self, where: str) -> None:
        self.visits += 1
        if self.visits > _MOST_VISITED:
            raise UncountableError(where, FieldError(f"the object has more than {_MOST_VISITED} values to look at"))


class Scope(NamedTuple):
    """An object, or an item inside one, in which paths are looked up."""

    node: _Node
    value: Any
    where: str
    object: _Object
    root: Scope | None = None

    def scopes(self, path: Path) -> Iterator[Scope]:
        """Yield what *path* leads to, in the order of the object. Raises: UncountableError."""
        start = self.root if path.is_from_root and self.root is not None else self
        return start.after(path.steps)

    def after(self, steps: Steps) -> Iterator[Scope]:
        """Yield what *steps* lead to from here. Raises: UncountableError."""
        scope: Scope | None = self
        for index, step in enumerate(steps):
            if scope is None:
                return
            if isinstance(step, Each):
                for item in scope._items(step):  # noqa: SLF001 - its own
                    yield from item.after(steps[index + 1 :])
                return
            scope = scope._named(step.name)  # noqa: SLF001
        if scope is not None:
            yield scope

    def find(self, path: Path) -> Iterator[Found]:
        """Yield the values at *path*; null is one. Raises: UncountableError."""
        if self.object.replaced and path.steps in self.object.replaced and (self.root is None or path.is_from_root):
            yield Found(str(path), self.object.replaced[path.steps])
            return
        for scope in self.scopes(path):
            yield Found(scope.where, bytes(scope.value) if isinstance(scope.value, Raw) else b"")

    def pod_spec(self, path: Path) -> Iterator[tuple[str, PodSpec | None]]:
        """Yield the pod specs under the templates at *path*, each with its place. Raises: UncountableError."""
        for template in self.scopes(path):
            for scope in template.after((Name("spec"),)):
                yield scope.where, scope.value

    def _named(self, name: str) -> Scope | None:
        """Return the field or key *name*; None if it is absent, and for null where an object or list belongs."""
        node, value = self.node, self.value
        if value is None:
            return None
        if node.items is None:
            child, inner = node.children[name], getattr(value, node.attributes[name])
        else:
            child, inner = node.items, value.get(name) if isinstance(value, dict) else None
        if inner is None or (isinstance(inner, Raw) and not bytes(inner)):
            return None
        return self._inside(child, inner, _joined(self.where, name))

    def _items(self, step: Each) -> Iterator[Scope]:
        """Yield the items of a list, or the values of a map."""
        node, value = self.node, self.value
        if value is None or node.items is None:
            return
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            where = f"{self.where}[{key}]" if isinstance(key, int) else _joined(self.where, key)
            scope = self._inside(node.items, item, where)
            if not step.key or scope._has_text(step.key, step.value):  # noqa: SLF001
                yield scope

    def _inside(self, node: _Node, value: Any, where: str) -> Scope:
        self.object.visit(where)
        return Scope(node, value, where, self.object, self.root or self)

    def _has_text(self, key: str, value: str) -> bool:
        found = self._named(key)
        return found is not None and isinstance(found.value, Raw) and scalar(bytes(found.value)) == value


class FieldTree:
    """The fields that are decoded of one kind of object. Build one for each preset, and keep it."""

    def __init__(self, values: Iterable[Steps], pod_specs: Iterable[Steps]) -> None:
        """Take the steps of all values, and those of the specs of pods; none may lie inside the latter."""
        self._root = _Node()
        for steps in values:
            self._root.at(steps)
        for steps in pod_specs:
            self._root.at(steps).is_pod = True
        self._decoder = msgspec.json.Decoder(self._root.finish())

    def decode(self, body: bytes, replaced: Mapping[Steps, bytes] = _NOTHING) -> Scope:
        """
        Return the object in *body*, with the values that are *replaced*, by their steps, as JSON.

        Raises: UncountableError for one whose fields have other types.
        """
        try:
            decoded = self._decoder.decode(body)
        except RecursionError as error:
            raise UncountableError("the object", FieldError("it is nested too deeply")) from error
        except UnicodeDecodeError as error:
            raise UncountableError("the object", FieldError("it is no UTF-8")) from error
        except msgspec.MsgspecError as error:
            where, message = misfit(error)
            raise UncountableError(where or "the object", FieldError(message)) from error
        if decoded is None:
            raise UncountableError("the object", FieldError("it is null"))
        return Scope(self._root, decoded, "", _Object(replaced))


def _joined(where: str, name: str) -> str:
    if name.isidentifier() or name.replace("-", "").isalnum():
        return f"{where}.{name}" if where else name
    return f'{where}["{name}"]'


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


def count(scope: Scope, path: Path) -> Number | None:
    """Return the sum of the whole numbers at *path*, None if there is none. Raises: UncountableError."""
    return _sum([whole(each) for each in scope.find(path)])


def amount(scope: Scope, path: Path) -> Number | None:
    """Return the sum of the quantities at *path* in units, None if there is none. Raises: UncountableError."""
    return _sum([quantity(each) for each in scope.find(path)])


def _sum(values: Sequence[Number]) -> Number | None:
    return sum(values) if values else None
