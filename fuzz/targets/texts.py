"""
Texts of people: YAML and JSON, policies, tests of policies, manifests with policies in them.
"""

from __future__ import annotations

import json
import re
from collections import abc
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import date, time, tzinfo
from enum import Enum
from fractions import Fraction

from fuzz.target import Target, promise
from webhook.documents import json_text, object_text, policy_manifests, yaml_text
from webhook.documents.case_text import read_cases
from webhook.documents.mistake import Mistake
from webhook.documents.policy_text import PolicyReading, PolicyText, read_policy
from webhook.documents.tree import Document, Mapping, Node, Scalar, plain
from webhook.documents.tree import Sequence as Items
from webhook.quota.errors import WebhookError
from webhook.view.field_selector import FieldSelectorError, read_fields, write_fields
from webhook.view.label_selector import LabelSelectorError, read_terms, selects

_PLACES = re.compile(r"policy\.(?:yaml|json):\d+(?::\d+)?")
_READ_OTHERWISE = re.compile(r"\\\\|[0-9][eE]|[0-9]{16}")
"""In YAML, numbers with an exponent may be words, and large ones are rounded as kubectl does it."""


def _text(data: bytes) -> str | None:
    """Return the text as it is read from a file or a ConfigMap, which are UTF-8."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def _check_mistakes(mistakes: Iterable[Mistake], text: str) -> None:
    """Check that each stands inside the text, and is one line."""
    lines = len(re.findall("\r\n|[\r\n\x85\u2028\u2029]", text)) + 1
    for each in mistakes:
        promise(1 <= each.position.line <= lines and each.position.column >= 1, "place", str(each), lines)
        promise(each.message and "\n" not in str(each), "one line", str(each))


def check_yaml(data: bytes) -> None:
    """Check both readers of trees."""
    text = _text(data)
    if text is None:
        return
    roots, mistakes = yaml_text.read_documents(text, source="it.yaml")
    _check_mistakes(mistakes, text)
    documents = list(json_text.read_stream(text, source="it.json"))
    _check_mistakes((mistake for each in documents for mistake in each.mistakes), text)
    if len(documents) == 1 and not documents[0].mistakes and documents[0].root is not None:
        _check_same(text, documents[0], roots, mistakes)


def _check_same(text: str, document: Document, roots: Sequence[Node], mistakes: Sequence[Mistake]) -> None:
    """Check that JSON means what the standard library reads in it, and the same as YAML where that has no mistake."""
    assert document.root is not None  # noqa: S101 - the caller has looked
    expected = json.loads(text.removeprefix("\ufeff"))
    promise(_equal(plain(document.root), expected), "JSON", text)
    if not mistakes and len(roots) == 1 and text.isascii() and not _READ_OTHERWISE.search(text):
        promise(_equal(plain(roots[0]), expected), "YAML", text)


def _equal(one: object, other: object) -> bool:
    if isinstance(one, float | int) and isinstance(other, float | int):
        return float(one) == float(other) if abs(one) < 2**53 else True
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_equal, one, other))
    return one == other


def check_policy(data: bytes) -> None:
    """Check a policy, and the same one written as JSON."""
    text = _text(data)
    if text is None:
        return
    reading = read_policy([PolicyText("policy.yaml", text)])
    _check_reading(reading, text)
    if reading.policy is None:
        return
    roots, _ = yaml_text.read_documents(text, source="policy.yaml")
    as_json = "\n---\n".join(map(_written, roots))
    again = read_policy([PolicyText("policy.yaml", as_json)])
    promise(again.policy is not None, "as JSON", [str(each) for each in again.mistakes], as_json)
    promise(_unplaced(reading.policy) == _unplaced(again.policy), "as JSON it is another", as_json)
    twice = read_policy([PolicyText("a.yaml", text), PolicyText("b.yaml", text)])
    _check_reading(twice, text)


def _check_reading(reading: PolicyReading, text: str) -> None:
    promise((reading.policy is None) is bool(reading.mistakes), "half a policy")
    _check_mistakes((*reading.mistakes, *reading.notes), text)


def _unplaced(value: object) -> object:
    """Return what *value* says, without the places in it that name a line."""
    if isinstance(value, str):
        return _PLACES.sub("", value)
    if isinstance(value, abc.Mapping):
        return sorted((repr(_unplaced(key)), _unplaced(each)) for key, each in value.items())
    if isinstance(value, frozenset):
        return sorted(repr(_unplaced(each)) for each in value)
    if isinstance(value, list | tuple):
        return list(map(_unplaced, value))
    if isinstance(value, Enum | int | Fraction | date | time | tzinfo | None):
        return repr(value)
    names = [*getattr(value, "__slots__", ()), *getattr(value, "__dict__", ())]
    facts = [(name, getattr(value, name)) for name in names]
    return [(name, _unplaced(each)) for name, each in facts if not callable(each)] or repr(value)


def _written(node: Node) -> str:
    """Return *node* as JSON with its numbers as they were written, one field a line."""
    match node:
        case Mapping():
            return (
                "{\n"
                + ",\n".join(f"{json.dumps(each.key)}: {_written(each.value)}" for each in node.fields.values())
                + "}"
            )
        case Items():
            return "[" + ", ".join(map(_written, node.items)) + "]"
        case Scalar(value=int() | float() as number) if not isinstance(number, bool):
            return node.text
        case Scalar():
            return json.dumps(node.value)


def check_cases(data: bytes) -> None:
    """Check tests of a policy, which name files."""
    text = _text(data)
    if text is None:
        return

    def read_text(name: str) -> tuple[str, str]:
        if name == "missing":
            raise WebhookError("there is no such file")
        return name, "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n"

    def read_policies(names: Sequence[str]) -> PolicyReading:
        return read_policy([PolicyText(name, "version: 1") for name in names])

    reading = read_cases(text, source="tests.yaml", read_text=read_text, read_policies=read_policies)
    promise(not (reading.cases and reading.mistakes), "cases beside mistakes")
    _check_mistakes((each for each in reading.mistakes if each.source == "tests.yaml"), text)


def check_manifests(data: bytes) -> None:
    """Check a file of objects, among which may be policies."""
    text = _text(data)
    if text is None:
        return
    objects, mistakes = object_text.read_objects(text, source="it.yaml")
    _check_mistakes(mistakes, text)
    for each in objects:
        body = json.loads(each.body)
        promise((body["apiVersion"], body["kind"]) == (each.api_version, each.kind), "object", each.body)
        again, none = object_text.read_objects(each.body.decode(), source="it.json")
        promise(
            (not none and [one.body for one in again] in ([each.body], [])) or each.kind.endswith("List"), "again", each
        )
    reading = policy_manifests.read_manifests(text, source="it.yaml", named=frozenset({"named"}))
    if reading is not None:
        _check_mistakes((*reading.mistakes, *reading.passed_over), text)
        for policy in reading.texts:
            read_policy([policy])


def check_selector(data: bytes) -> None:
    """Check a field selector, and the same as a label selector."""
    text = _text(data)
    if text is None:
        return
    with suppress(LabelSelectorError):
        for each in read_terms(text):
            tags = ((each.key, min(each.values or ("any",))),)
            promise(selects((each,), tags) is not each.is_excluded, "selected", text)
            promise(selects((each,), ()) is each.is_excluded, "absent", text)
    try:
        fields = read_fields(text, ("spec.subject", "status.owner"))
    except FieldSelectorError:
        return
    promise(all(fields.values()), "empty", text)
    promise(read_fields(write_fields(fields), fields) == fields, "written", text)


TARGETS = (
    Target(
        "tree",
        "`documents/yaml_text.py`, `json_text.py`",
        "never an error; each mistake is one line and stands inside the text; JSON means what the standard library "
        "reads in it, and the same as YAML",
        check_yaml,
        ("examples/*.yaml", "examples/reviews/*.json"),
    ),
    Target(
        "policy",
        "`documents/policy_text.py`, `policy_merge.py`, `preset_schema.py`",
        "a policy or mistakes, never both nor neither; written as JSON it is the same policy",
        check_policy,
        ("examples/policy.yaml",),
        mutations=300,
    ),
    Target(
        "cases",
        "`documents/case_text.py`",
        "cases or mistakes, each in its place",
        check_cases,
        ("examples/policy-tests.yaml",),
    ),
    Target(
        "manifests",
        "`documents/object_text.py`, `policy_manifests.py`",
        "each object is read again from its own body as itself",
        check_manifests,
        ("examples/*.yaml", "manifests/*.yaml"),
    ),
    Target(
        "selector",
        "`view/field_selector.py`, `label_selector.py`",
        "no field is empty; what is written is read as the same; a condition holds of its value and not of another",
        check_selector,
        is_structured=False,
    ),
)
