"""The definitions by which tests serve the kinds of the shipped presets say what the presets read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.platforms import DEFINITIONS, Platform
from webhook.documents import preset_files
from webhook.documents.shipped_presets import shipped
from webhook.kinds import session_size
from webhook.quota.field_paths import Name, Step

Json = dict[str, Any]

OWN_KINDS = [name for name in preset_files.names() if shipped(name).group not in ("", "apps")]


def test_every_preset_of_a_kind_that_is_not_of_kubernetes_has_a_definition() -> None:
    assert sorted(path.stem for path in DEFINITIONS.iterdir()) == OWN_KINDS
    assert len(OWN_KINDS) == 12


@pytest.mark.parametrize("name", OWN_KINDS)
def test_it_has_the_names_and_the_versions_of_the_preset(name: str) -> None:
    preset, definition = shipped(name), Platform(name, "").definition

    spec = definition["spec"]
    assert definition["metadata"]["name"] == preset.resource
    assert (spec["group"], spec["names"]["kind"], spec["names"]["plural"]) == (preset.group, preset.kind, preset.plural)
    assert tuple(each["name"] for each in spec["versions"] if each["served"]) == preset.versions
    assert spec["scope"] == "Namespaced"


@pytest.mark.parametrize("name", OWN_KINDS)
def test_it_has_every_field_that_the_preset_reads_in_all_versions(name: str) -> None:
    schemas = [each["schema"]["openAPIV3Schema"] for each in Platform(name, "").definition["spec"]["versions"]]

    read = [steps for steps in paths(name) if steps and Name("metadata") not in steps]
    assert [(steps, schema) for steps in read for schema in schemas if not has(schema, steps)] == []
    assert read


def paths(name: str) -> Iterator[tuple[Step, ...]]:
    preset = shipped(name)
    yield from (path.steps for path in preset.paths())
    for part in preset.parts:
        yield from session_size.value_steps(part)
        yield from (steps[:-1] for steps in session_size.pod_spec_steps(part))


def has(schema: Json, steps: tuple[Step, ...]) -> bool:
    """Whether the schema names the field; what lies in an object of which it names no field is taken as it is."""
    if not steps:
        return True
    first, rest = steps[0], steps[1:]
    if "items" in schema or "additionalProperties" in schema:
        inside = schema.get("items") or schema["additionalProperties"]
        return has(inside, rest)
    if "properties" in schema:
        known = schema["properties"].get(first.name) if isinstance(first, Name) else None
        return known is not None and has(known, rest)
    return bool(schema.get("x-kubernetes-preserve-unknown-fields"))
