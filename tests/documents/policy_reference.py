"""
The tables of fields in the documents, made of the JSON Schema of a policy.

A table stands below a comment that names its definition: `<!-- fields of EntryPart -->`. What has no table of its own
is told in that of whatever refers to it: `groups.NAME.pool`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any

Json = Any

MARKED = re.compile(r"^(<!-- fields of (\w+) -->\n\n)((?:\|.*\n)*)", re.MULTILINE)
ROOT = "PolicyPart"
"""The name of the schema's root, which has none there."""

WHOLES = {
    "EntryPart": "an [entry](#fields)",
    "ResourcePart": "a [resource](#catalogue)",
    "MarkPart": "a [mark](attribution.md#delegates)",
}
"""What other parts begin with: their tables only name the fields that they have of it."""

LISTS = frozenset({"HardList", "SessionList"})
IN_PROSE = frozenset({"AllPart", "Inherited", "SwitchesPart"})
"""What a sentence beside the table tells."""

SEE = {
    "PolicyPart.attribution.delegates": "[Delegates](attribution.md#delegates)",
    "PolicyPart.attribution.groupObjects": "[Membership](#membership)",
    "PolicyPart.attribution.namespaceOwners": "[Owners of namespaces](attribution.md#owners-of-namespaces)",
    "PolicyPart.attribution.payer": "[The last editor](attribution.md#the-last-editor)",
    "PolicyPart.commitments.NAME": "[Commitments](commitments.md)",
    "PolicyPart.combine": "[How limits meet](#how-limits-meet)",
    "PolicyPart.exempt": "[Exemptions](#exemptions)",
    "PolicyPart.groups.NAME.membership": "[Membership](#membership)",
    "PolicyPart.missing.RESOURCE": "[Missing requests](#missing-requests)",
    "ScopedPart.onDemand": "[Limits on demand](commitments.md#limits-on-demand)",
    "NodeClassPart.mode": "[Commitments](commitments.md)",
    "PolicyPart.nodeClasses": "[Classes of nodes](#classes-of-nodes)",
    "PolicyPart.resources": "[Catalogue](#catalogue)",
    "PolicyPart.resources.gpu": "[Devices](#devices)",
    "PolicyPart.rules": "[Rules](#rules)",
    "PolicyPart.sessions.categories": "[Categories](sessions.md#categories)",
    "PolicyPart.sessions.presets": "[Sessions](sessions.md)",
    "PolicyPart.tiers.NAME": "[Tiers](#tiers)",
    "EntryPart.minPerPod": "[Minimums](#minimums)",
    "EntryPart.minPerSession": "[Minimums](#minimums)",
    "EntryPart.perSession": "[How long a session may run](sessions.md#how-long-a-session-may-run)",
    "EntryPart.scoped": "[Scopes](#scopes)",
    "EntryPart.tier": "[Tiers](#tiers)",
    "EntryPart.until": "[Ends](#ends)",
    "EntryPart.windows": "[Windows](#windows)",
    "EntryPart.workloads": "[Workloads](#workloads)",
    "DelegatePart.sessions": "[Sessions](sessions.md)",
    "PresetPart.category": "[Categories](#categories)",
    "PresetPart.duration": "[How long a session may run](#how-long-a-session-may-run)",
    "PresetPart.idle": "[How long a session may run](#how-long-a-session-may-run)",
}
"""Where more is said of a field, as a link of the document that has the table."""


def marked_in(text: str) -> list[str]:
    """Return the definitions that have a table in *text*."""
    return [found[2] for found in MARKED.finditer(text)]


def written(text: str, schema: Json, marked: Collection[str]) -> str:
    """Return *text* with its tables made anew, if all documents together have tables of what is *marked*."""
    return MARKED.sub(lambda found: found[1] + "".join(_lines(found[2], schema, marked)), text)


def links_without_a_field(schema: Json, marked: Collection[str]) -> set[str]:
    """Return the fields of `SEE` that no table has."""
    return SEE.keys() - {f"{each}.{path}" for each in marked for path, _ in _rows(each, schema, marked)}


def untold(schema: Json, marked: Collection[str]) -> set[str]:
    """Return the definitions with fields that are in no table."""
    told = {name for each in marked for name in (each, *_inner_parts(each, schema, marked))}
    return {name for name, form in schema["definitions"].items() if "properties" in form} - told - IN_PROSE - LISTS


def _inner_parts(name: str, schema: Json, marked: Collection[str]) -> Iterator[str]:
    for form in _fields(name, schema).values():
        for each in _parts_of(form, schema, marked):
            yield each
            yield from _inner_parts(each, schema, marked)


def _lines(name: str, schema: Json, marked: Collection[str]) -> Iterator[str]:
    yield "| field | meaning |\n|---|---|\n"
    for path, form in _rows(name, schema, marked):
        see = SEE.get(f"{name}.{path}")
        yield f"| `{path}` | {form['description']}{f' See {see}.' if see else ''} |\n"
    for whole, link in WHOLES.items():
        shared = _shared(name, whole, schema)
        if len(shared) == len(_fields(whole, schema)):
            yield f"| all others | As in {link}. |\n"
        elif shared:
            yield f"| {', '.join(f'`{each}`' for each in shared)} | As in {link}. |\n"


def _rows(name: str, schema: Json, marked: Collection[str], before: str = "") -> Iterator[tuple[str, Json]]:
    """Yield the path and the form of each field of a definition, those of what has no table of its own behind it."""
    shared = {each for whole in WHOLES for each in _shared(name, whole, schema)}
    for field, form in _fields(name, schema).items():
        if field not in shared:
            path = before + _with_keys(field, form)
            yield path, form
            for each in _parts_of(form, schema, marked):
                yield from _rows(each, schema, marked, f"{path}{'[]' if 'items' in form else ''}.")


def _with_keys(field: str, form: Json) -> str:
    """Return the name of a field, with a word for its keys if each of them has a part of its own."""
    if not _references(form.get("additionalProperties")):
        return field
    names = form["propertyNames"]
    return f"{field}.{'RESOURCE' if 'enum' in names else 'NAMESPACE/NAME' if '/' in names['pattern'] else 'NAME'}"


def _parts_of(form: Json, schema: Json, marked: Collection[str]) -> list[str]:
    """Return the parts without a table of their own that a field has, or that its items or keys have."""
    found = {
        each for inner in (form, form.get("items"), form.get("additionalProperties")) for each in _references(inner)
    }
    parts = {each for each in found if "properties" in schema["definitions"][each]}
    return sorted(parts - set(marked) - IN_PROSE - LISTS)


def _references(form: Json) -> set[str]:
    if not isinstance(form, dict):
        return set()
    return {each["$ref"].removeprefix("#/definitions/") for each in (form, *form.get("anyOf", ())) if "$ref" in each}


def _fields(name: str, schema: Json) -> dict[str, Json]:
    found: dict[str, Json] = (schema if name == ROOT else schema["definitions"][name])["properties"]
    return found


def _shared(name: str, whole: str, schema: Json) -> list[str]:
    """Return the fields that a definition has of a *whole* that it is not itself."""
    own, of_whole = _fields(name, schema), _fields(whole, schema)
    return [] if name == whole else [each for each, form in own.items() if of_whole.get(each) == form]
