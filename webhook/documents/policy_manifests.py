"""
Policies in manifests of ConfigMaps, as they are kept beside other objects: which of them are policies, and their texts.

A text inside a manifest keeps the lines and columns that it has in the file where the file has it letter by letter.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from webhook.documents import json_text, yaml_text
from webhook.documents.mistake import Mistake, Position, field_path
from webhook.documents.object_text import DEFAULT_LIMIT
from webhook.documents.policy_config_map import MOVE_TO_DATA, POLICY_LABEL
from webhook.documents.policy_text import PolicyText
from webhook.documents.tree import Document, Mapping, Node, Scalar, Sequence

_MAY_BE_OBJECTS: Final = re.compile(
    r"^(?:\ufeff|---)*[ \t]*(?:[{\[]|[\"']?(?:apiVersion|kind|items)[\"']?[ \t]*:)", re.MULTILINE
)
"""Whether it is worth reading a text for objects. The presets of a policy may name an apiVersion, too."""

_LINE_BREAK: Final = re.compile("\r\n|[\r\n]")
_BY_ITSELF: Final = re.compile(r"^(?:---|\.\.\.|%)", re.MULTILINE)
"""What YAML knows only at the begin of a line: such a text cannot be read where it stands, indented."""

_NO_TEXT: Final = "it has no text: a policy stands in data"

_Path = tuple[str | int, ...]


@dataclass(slots=True)
class ManifestReading:
    """The policies among the objects of a text, what is wrong with them, and what is no policy, each with why."""

    texts: list[PolicyText] = field(default_factory=list)
    mistakes: list[Mistake] = field(default_factory=list)
    passed_over: list[Mistake] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    """The names of the ConfigMaps that are policies, alone and as NAMESPACE/NAME."""


def read_manifests(text: str, *, source: str, named: frozenset[str]) -> ManifestReading | None:
    """
    Return what the objects in *text* say, None if there are no objects in it: then it is a policy itself, or none.

    Policies are the ConfigMaps with the label, and those *named*, as NAME or NAMESPACE/NAME. Lists stand for their
    items. Never raises, whatever the text.
    """
    if not _MAY_BE_OBJECTS.search(text):
        return None
    documents = _read(text, source)
    if not any(document.root is not None and _is_object(document.root) for document in documents):
        return None
    reading = ManifestReading()
    objects = _Objects(_LINE_BREAK.split(text), source, named, reading)
    for document in documents:
        if document.root is None or _may_hold_policies(document.root):
            reading.mistakes += document.mistakes
        if document.root is not None:
            objects.take(document.root, ())
    if reading.mistakes and (place := yaml_text.template_in(text)):
        reading.mistakes = [Mistake(source, place, "", yaml_text.NOT_RENDERED)]
    return reading


def _read(text: str, source: str) -> tuple[Document, ...]:
    """Read as YAML, which JSON is as well: it tells more exact places. Only JSON may be indented by tabs."""
    as_yaml = tuple(yaml_text.read_stream(text, source=source, limit=DEFAULT_LIMIT))
    if all(document.root is not None for document in as_yaml) or len(text) > DEFAULT_LIMIT:
        return as_yaml
    as_json = tuple(json_text.read_stream(text, source=source))
    return as_json if as_json and all(document.root is not None for document in as_json) else as_yaml


@dataclass(frozen=True, slots=True)
class _Objects:
    """Sorts the objects of one text."""

    lines: list[str]
    source: str
    named: frozenset[str]
    reading: ManifestReading

    def take(self, node: Node, path: _Path, *, implied: str = "") -> None:
        """Add an object, or the items of a list; the items of a ConfigMapList have the *implied* kind ConfigMap."""
        if isinstance(node, Scalar) and node.value is None:
            return
        if not isinstance(node, Mapping) or not (implied or _is_object(node)):
            self._mistake(node.position, path, "this is no Kubernetes object: it has no apiVersion and kind")
            return
        kind, items = _text(node, "kind") or implied, _value(node, "items")
        if kind.endswith("List") and isinstance(items, Sequence):
            for index, item in enumerate(items.items):
                self.take(item, (*path, "items", index), implied=kind.removesuffix("List"))
        elif kind == "ConfigMap" and _text(node, "apiVersion") in ("", "v1"):
            self._take_config_map(node, path)
        else:
            self._pass_over(node, "no ConfigMap")

    def _take_config_map(self, node: Mapping, path: _Path) -> None:
        metadata = _value(node, "metadata")
        name = _text(metadata, "name") or _text(metadata, "generateName")
        names = {name, f"{_text(metadata, 'namespace')}/{name}"}
        label = _value(_value(metadata, "labels"), POLICY_LABEL)
        if isinstance(label, Scalar) and label.value is True:
            self._mistake(
                label.position, (*path, "metadata", "labels", POLICY_LABEL), 'a label is text: write "true" in quotes'
            )
        elif not names & self.named and (not isinstance(label, Scalar) or label.value != "true"):
            written = f"{label.text}, not true" if isinstance(label, Scalar) else "missing"
            self._pass_over(node, f"the label {POLICY_LABEL} is {written}")
            return
        self.reading.names |= names
        self._take_data(node, path, name)

    def _take_data(self, node: Mapping, path: _Path, name: str) -> None:
        data, binary = _value(node, "data"), _value(node, "binaryData")
        for key, each in binary.fields.items() if isinstance(binary, Mapping) else ():
            self._mistake(each.key_position, (*path, "binaryData", key), MOVE_TO_DATA)
        if not isinstance(data, Mapping) or not data.fields:
            if not isinstance(binary, Mapping):
                self._mistake(node.position, (*path, "data"), _NO_TEXT)
            return
        for key, each in data.fields.items():
            value = each.value
            if isinstance(value, Scalar) and isinstance(value.value, str):
                self.reading.texts.append(self._policy_text(value, f"{name}/{key}"))
            else:
                self._mistake(
                    value.position, (*path, "data", key), f"expected text: write {key}: | and the policy below"
                )

    def _policy_text(self, value: Scalar, name: str) -> PolicyText:
        """Return the text at its place in the file, or as one by itself where that cannot be told."""
        written = "" if _BY_ITSELF.search(value.text) else _in_place(self.lines, value)
        if 0 < len(written) <= yaml_text.DEFAULT_LIMIT:
            return PolicyText(self.source, written, value.position)
        return PolicyText(f"{self.source}: {name}", value.text)

    def _pass_over(self, node: Mapping, why: str) -> None:
        name = _text(_value(node, "metadata"), "name")
        what = f"{_text(node, 'kind')} {name}".rstrip()
        self.reading.passed_over.append(Mistake(self.source, node.position, what, why))

    def _mistake(self, position: Position, path: _Path, message: str) -> None:
        self.reading.mistakes.append(Mistake(self.source, position, field_path(path), message))


def _in_place(lines: list[str], value: Scalar) -> str:
    """
    Return the lines of a literal block, with as many empty lines before them as the file of *lines* has lines before.

    Read as YAML, it says what the block says, with the places of the file. Empty if the value is written in another
    way.
    """
    first = value.position.line
    inside = value.text.rstrip("\n").split("\n")
    found = lines[first : first + len(inside)]
    indent = next((len(line) - len(line.lstrip(" ")) for line in found if line.strip()), 0)
    if [line[indent:] for line in found] != inside:
        return ""
    return "\n" * first + "\n".join(found) + "\n"


def _is_object(node: Node) -> bool:
    """Whether *node* is meant as a Kubernetes object: policies have a version, and none of an API."""
    fields = node.fields if isinstance(node, Mapping) else {}
    return "apiVersion" in fields or ("kind" in fields and "version" not in fields)


def _may_hold_policies(node: Node) -> bool:
    """Whether mistakes in an object matter: it is a ConfigMap or a list, or it is none."""
    kind = _text(node, "kind")
    return not _is_object(node) or not kind or kind == "ConfigMap" or kind.endswith("List")


def _value(node: Node | None, key: str) -> Node | None:
    return node.fields[key].value if isinstance(node, Mapping) and key in node.fields else None


def _text(node: Node | None, key: str) -> str:
    value = _value(node, key)
    return value.value if isinstance(value, Scalar) and isinstance(value.value, str) else ""
