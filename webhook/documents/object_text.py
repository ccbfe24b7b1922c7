"""
Manifests as kubectl takes them with ``-f`` (YAML, JSON, JSON lines, lists), one object after the other.

The cost of an object, and the origin of the text, are not known here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

import msgspec

from webhook.documents import json_text, yaml_text
from webhook.documents.mistake import Mistake, Position, field_path
from webhook.documents.tree import Document, Field, Mapping, Node, Scalar, Sequence
from webhook.documents.yaml_scalars import number_json

# Room for what `kubectl get -o json` prints of some thousand pods; beyond it the tree would take gigabytes.
DEFAULT_LIMIT: Final = 32 * 1024 * 1024

# YAML may begin with a bracket too, but then hardly ever with a quote behind it.
_BEGINS_LIKE_JSON: Final = re.compile(r"\ufeff?\s*+[\[{][\[{\s]*+(?:[\"\]}]|$)")
_quote: Final = json.JSONEncoder(ensure_ascii=False).encode
_NumberText: TypeAlias = Callable[[Scalar], str]
_Path: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class RawObject:
    """
    One Kubernetes object of a text.

    ``name`` is ``metadata.generateName`` if there is no name; ``namespace`` and ``name`` are empty if not given.
    ``body`` is the object as compact JSON in UTF-8. Numbers in it have the digits of the text if that was JSON; of YAML
    they are written as kubectl sends them.
    """

    api_version: str
    kind: str
    namespace: str
    name: str
    body: bytes
    source: str
    position: Position

    @property
    def place(self) -> str:
        """File and line, as in `app.yaml:3`."""
        return f"{self.source}:{self.position.line}"

    @property
    def title(self) -> str:
        """Place, kind and name, with which a line about the object begins."""
        return f"{self.place}: {self.kind} {self.name}"

    @property
    def group(self) -> str:
        """The API group, empty for the core one."""
        return self.api_version.rpartition("/")[0]

    @property
    def version(self) -> str:
        """The version in that group."""
        return self.api_version.rpartition("/")[2]

    @property
    def resource(self) -> str:
        """The plural with the group, as kubectl guesses it where no API server says what it serves."""
        return _plural(self.kind) + (f".{self.group}" if self.group else "")


def read_objects(
    text: str, *, source: str, limit: int = DEFAULT_LIMIT
) -> tuple[tuple[RawObject, ...], tuple[Mistake, ...]]:
    """
    Return the objects of a text in order, and every mistake in it; *source* is what both call the text.

    A kind that ends in ``List`` and has ``items`` stands for its items, also inside another; items of a ``PodList``
    that name no type, as the API server sends them, are Pods. Empty documents are skipped. An object is left out if
    there is a mistake in its document. Of a template only that it is one is told. Never raises, whatever the text.

    *limit* is in characters.
    """
    documents, number_text = _read(text, source=source, limit=limit)
    unpacking = _Unpacking(source, number_text)
    for document in documents:
        unpacking.take(document)
    if unpacking.mistakes and (place := yaml_text.template_in(text)) and place <= unpacking.mistakes[0].position:
        return tuple(unpacking.objects), (Mistake(source, place, "", yaml_text.NOT_RENDERED),)
    return tuple(unpacking.objects), tuple(unpacking.mistakes)


class _Meta(msgspec.Struct, rename="camel"):
    name: str = ""
    generate_name: str = ""
    namespace: str = ""


class _Object(msgspec.Struct, rename="camel"):
    api_version: str
    kind: str
    metadata: _Meta | None = None


def object_in(body: bytes, *, source: str) -> RawObject:
    """Return one object that a program has written as JSON in UTF-8. Raises: msgspec.MsgspecError."""
    try:
        body.decode()  # of what is skipped nobody has looked at the letters
        found = msgspec.json.decode(body, type=_Object)
    except UnicodeDecodeError as error:
        raise msgspec.DecodeError(f"no UTF-8 at byte {error.start}") from error
    except RecursionError as error:
        raise msgspec.DecodeError("nested too deeply") from error
    meta = found.metadata or _Meta()
    name = meta.name or meta.generate_name
    return RawObject(found.api_version, found.kind, meta.namespace, name, body, source, Position(1, 1))


def read_objects_inside(
    node: Node, *, source: str, path: tuple[str | int, ...]
) -> tuple[tuple[RawObject, ...], tuple[Mistake, ...]]:
    """Return the objects that *node* stands for, which is at *path* of a YAML document. See ``read_objects``."""
    unpacking = _Unpacking(source, _yaml_number)
    unpacking.take_at(node, path)
    return tuple(unpacking.objects), tuple(unpacking.mistakes)


def _read(text: str, *, source: str, limit: int) -> tuple[tuple[Document, ...], _NumberText]:
    """
    Read as JSON what begins like it, else as YAML; if it is neither, the reading that came further counts.

    A mistake in JSON that is not of syntax, such as a key given twice, is found by YAML too, at its exact place.
    """
    as_json: tuple[Document, ...] = ()
    if len(text) <= limit and _BEGINS_LIKE_JSON.match(text):
        as_json = tuple(json_text.read_stream(text, source=source))
        if _is_whole(as_json):
            return as_json, _json_number
    as_yaml = tuple(yaml_text.read_stream(text, source=source, limit=limit))
    if as_json and not _is_whole(as_yaml) and _last_place(as_json) >= _last_place(as_yaml):
        return as_json, _json_number
    return as_yaml, _yaml_number


def _is_whole(documents: tuple[Document, ...]) -> bool:
    return all(document.root is not None for document in documents)


def _last_place(documents: tuple[Document, ...]) -> Position:
    return documents[-1].mistakes[-1].position


@dataclass(frozen=True, slots=True)
class _Type:
    """The type that an object names."""

    api_version: str
    kind: str


class _Unpacking:
    """The objects of several documents, and the mistakes, collected in the order of the text."""

    __slots__ = ("_number_text", "_source", "mistakes", "objects")

    def __init__(self, source: str, number_text: _NumberText) -> None:
        self._source: Final = source
        self._number_text: Final = number_text
        self.objects: Final[list[RawObject]] = []
        self.mistakes: Final[list[Mistake]] = []

    def take(self, document: Document) -> None:
        """Add the objects of one document; one with mistakes adds only these, and an empty one nothing."""
        self.mistakes.extend(document.mistakes)
        if document.root is not None and not document.mistakes and not _is_null(document.root):
            self.take_at(document.root, ())

    def take_at(self, node: Node, path: _Path, *, implied: _Type | None = None) -> None:
        """Add an object, or each item of a list; *implied* is the type that the list around it gives to its items."""
        if not isinstance(node, Mapping):
            self._mistake("this is no object", node.position, path)
            return
        if implied and _value(node, "kind") is None and _value(node, "apiVersion") is None:
            node = _with_type(node, implied)
        before = len(self.mistakes)
        found = _Type(self._required(node, "apiVersion", path), self._required(node, "kind", path))
        if len(self.mistakes) > before:
            return
        items = _value(node, "items") if found.kind.endswith("List") else None
        if isinstance(items, Sequence):
            self._take_items(items, path, found)
        elif found.kind != "List":
            self._add(node, path, found)
        elif items is not None and not _is_null(items):
            self._mistake("the items of a List must be a list", items.position, (*path, "items"))

    def _take_items(self, items: Sequence, path: _Path, found: _Type) -> None:
        kind = found.kind.removesuffix("List")
        implied = _Type(found.api_version, kind) if kind else None
        for index, item in enumerate(items.items):
            self.take_at(item, (*path, "items", index), implied=implied)

    def _add(self, mapping: Mapping, path: _Path, found: _Type) -> None:
        before = len(self.mistakes)
        metadata = _value(mapping, "metadata")
        namespace = name = ""
        if isinstance(metadata, Mapping):
            metadata_path = (*path, "metadata")
            namespace = self._text(metadata, "namespace", metadata_path)
            generate_name = self._text(metadata, "generateName", metadata_path)
            name = self._text(metadata, "name", metadata_path) or generate_name
        elif metadata is not None and not _is_null(metadata):
            self._mistake("this is no object", metadata.position, (*path, "metadata"))
        if len(self.mistakes) == before:
            body = _json(mapping, self._number_text).encode()
            position = mapping.position
            self.objects.append(RawObject(found.api_version, found.kind, namespace, name, body, self._source, position))

    def _required(self, mapping: Mapping, field: str, path: _Path) -> str:
        before = len(self.mistakes)
        text = self._text(mapping, field, path)
        if not text and len(self.mistakes) == before:
            self._mistake("missing", mapping.position, (*path, field))
        return text

    def _text(self, mapping: Mapping, field: str, path: _Path) -> str:
        """Return a field that holds text, empty if it is absent."""
        node = _value(mapping, field)
        if node is None or _is_null(node):
            return ""
        if isinstance(node, Scalar) and isinstance(node.value, str):
            return node.value
        self._mistake("must be text", node.position, (*path, field))
        return ""

    def _mistake(self, message: str, position: Position, path: _Path) -> None:
        self.mistakes.append(Mistake(self._source, position, field_path(path), message))


def _plural(kind: str) -> str:
    lower = kind.lower()
    if lower.endswith("s"):
        return f"{lower}es"
    return f"{lower.removesuffix('y')}ies" if lower.endswith("y") else f"{lower}s"


def _with_type(item: Mapping, implied: _Type) -> Mapping:
    position = item.position
    fields = {"apiVersion": implied.api_version, "kind": implied.kind}
    added = {key: Field(key, position, Scalar(value, value, position), key) for key, value in fields.items()}
    return Mapping({**added, **item.fields}, position)


def _value(mapping: Mapping, key: str) -> Node | None:
    return mapping.fields[key].value if key in mapping.fields else None


def _is_null(node: Node) -> bool:
    return isinstance(node, Scalar) and node.value is None


def _json(node: Node, number_text: _NumberText) -> str:
    match node:
        case Mapping():
            fields = (f"{_quote(each.key)}:{_json(each.value, number_text)}" for each in node.fields.values())
            return f"{{{','.join(fields)}}}"
        case Sequence():
            return f"[{','.join(_json(item, number_text) for item in node.items)}]"
        case Scalar(value=str() as text):
            return _quote(text)
        case Scalar(value=None):
            return "null"
        case Scalar(value=bool() as truth):
            return "true" if truth else "false"
        case Scalar():
            return number_text(node)


def _json_number(scalar: Scalar) -> str:
    return scalar.text


def _yaml_number(scalar: Scalar) -> str:
    if isinstance(scalar.value, (int, float)):
        return number_json(scalar.value)
    raise TypeError(f"no number: {scalar.text}")
