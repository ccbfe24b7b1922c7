"""
`userquota preset`: the session presets that are shipped, and what one reads from an object.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import click
import msgspec

from webhook.cli.checked_policy import checked_policy
from webhook.cli.errors import tell
from webhook.cli.inputs import MOST_WRITTEN, InputError, read_input_objects
from webhook.cli.printing import output_option, show_document, show_table
from webhook.documents import preset_files
from webhook.documents.object_text import RawObject
from webhook.documents.shipped_presets import shipped, shipped_definition
from webhook.kinds.evaluator import UncountableError
from webhook.kinds.misfits import misfit_text
from webhook.kinds.registry import KINDS
from webhook.kinds.session_marks import NamespaceTexts, Said
from webhook.kinds.session_size import PartSize
from webhook.kinds.sessions import SessionReader, SessionReading
from webhook.quota import resources
from webhook.quota.presets import Preset
from webhook.quota.resources import Amounts

COUNTED_LABEL = "userquota.dev/counted"
"""Adds the rules of a ClusterRole to those of the ClusterRole `userquota-counted`: see `manifests/`."""


@dataclass(frozen=True, slots=True)
class Tested:
    """An object, the preset that reads it, and what it reads; None if no preset takes it for a session."""

    read: RawObject
    preset: Preset | None
    reading: SessionReading | None


@click.group("preset")
def command() -> None:
    """Show the presets by which objects are read as sessions."""


@command.command("list")
@output_option
def list_presets(output: str) -> None:
    """List the presets that are shipped."""
    presets = [shipped(name) for name in preset_files.names()]
    if output == "table":
        rows = [(each.name, each.resource, ",".join(each.versions), each.checked) for each in presets]
        show_table(("NAME", "RESOURCE", "VERSIONS", "CHECKED AGAINST"), rows)
        return
    items = [
        {"name": each.name, "resource": each.resource, "versions": list(each.versions), "checked": each.checked}
        for each in presets
    ]
    show_document({"items": items}, output)


@command.command("show")
@click.argument("name")
@click.option("-o", "--output", type=click.Choice(("yaml", "json", "table")), default="yaml", show_default=True)
def show_preset(name: str, output: str) -> None:
    """Print the shipped preset NAME, as it may be written in a policy. Exit code 2 if there is none."""
    if name not in preset_files.names():
        raise InputError(f"no preset {name}; known are {', '.join(preset_files.names())}")
    if output == "yaml":
        click.echo(preset_files.text(name), nl=False)
    elif output == "table":
        show_table(
            ("FIELD", "VALUE"), [(field, _on_one_line(said)) for field, said in shipped_definition(name).items()]
        )
    else:
        show_document(shipped_definition(name), output)


def _on_one_line(said: object) -> str:
    return said if isinstance(said, str) else msgspec.json.encode(said).decode()


@command.command("roles")
@click.argument("names", nargs=-1)
@click.option("-p", "--policy", "policies", multiple=True, help="Policy file: for each preset that it names.")
def show_roles(names: tuple[str, ...], policies: tuple[str, ...]) -> None:
    """
    Print a ClusterRole for each shipped preset of NAMES, and for each of a policy.

    Each gives userquota the right to read the objects of that preset, and nothing else, by its label: it needs no
    binding. Apply it before the policy. Exit code 2 if the policy is invalid, or if there is no such preset.
    """
    if unknown := [each for each in names if each not in preset_files.names()]:
        raise InputError(f"no preset {unknown[0]}; known are {', '.join(preset_files.names())}")
    presets = [*map(shipped, names), *(checked_policy(policies, exit_code=2).presets if policies else ())]
    if not presets:
        raise click.UsageError("name a preset, or a policy that does")
    for each in presets:
        if KINDS.of_resource(each.resource) is None:  # what has a row is read in any case
            click.echo("---")
            show_document(_role(each), "yaml")


def _role(preset: Preset) -> Mapping[str, object]:
    rule = {"apiGroups": [preset.group], "resources": [preset.plural], "verbs": ["get", "list", "watch"]}
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": f"userquota-sessions-{preset.name}", "labels": {COUNTED_LABEL: "true"}},
        "rules": [rule],
    }


@command.command("test")
@click.option("-f", "--filename", "names", multiple=True, required=True, help="File, folder or - for standard input.")
@click.option("-p", "--policy", "policies", multiple=True, help="Policy file; its presets instead of those shipped.")
@output_option
def test_preset(names: tuple[str, ...], policies: tuple[str, ...], output: str) -> None:
    """
    Show what presets read from objects: user, state, size, and what said it.

    Marks of a namespace are read from the Namespace, if it is among the objects. Exit code 1 if a session cannot be
    read, 2 if a file cannot be read or the policy is invalid.
    """
    presets = checked_policy(policies, exit_code=2).presets if policies else tuple(map(shipped, preset_files.names()))
    objects = read_input_objects(names, most=MOST_WRITTEN)
    tested, mistakes = _test(objects, [SessionReader(each) for each in presets], _namespaces(objects))
    if output == "table":
        show_table(
            ("NAMESPACE", "KIND", "NAME", "WHAT", "VALUE", "BY"), [row for each in tested for row in _rows(each)]
        )
    else:
        show_document({"items": [_item(each) for each in tested]}, output)
    for mistake in mistakes:
        tell(mistake)
    if mistakes:
        raise SystemExit(1)


class _Metadata(msgspec.Struct, frozen=True):
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None


class _Namespace(msgspec.Struct, frozen=True):
    metadata: _Metadata = _Metadata()


def _namespaces(objects: Iterable[RawObject]) -> Mapping[str, NamespaceTexts]:
    """Return what the Namespaces among *objects* carry, by name. Raises: InputError."""
    found = {}
    for each in objects:
        if (each.api_version, each.kind) == ("v1", "Namespace"):
            try:
                metadata = msgspec.json.decode(each.body, type=_Namespace).metadata
            except msgspec.ValidationError as error:
                raise InputError(f"{each.title}: {misfit_text(error)}") from error
            found[each.name] = NamespaceTexts(metadata.labels or {}, metadata.annotations or {})
    return found


def _test(
    objects: Iterable[RawObject], readers: Iterable[SessionReader], namespaces: Mapping[str, NamespaceTexts]
) -> tuple[list[Tested], list[str]]:
    """Return what the first reader of the kind of each object reads, and what cannot be read."""
    by_kind: dict[tuple[str, str], list[SessionReader]] = {}
    for reader in readers:
        by_kind.setdefault((reader.preset.group, reader.preset.kind), []).append(reader)
    tested, mistakes = [], []
    for each in objects:
        if each.kind == "Namespace":
            continue
        found = Tested(each, None, None)
        for reader in by_kind.get((each.group, each.kind), ()):
            try:
                reading = reader.read(each.body, namespaces.get(each.namespace, NamespaceTexts()))
            except UncountableError as error:
                mistakes.append(f"{each.title}: preset {reader.preset.name}: {error}")
                break
            if reading is not None:
                found = Tested(each, reader.preset, reading)
                break
        else:
            tested.append(found)
            continue
        if found.reading is not None:
            tested.append(found)
    return tested, mistakes


def _rows(each: Tested) -> list[tuple[str, ...]]:
    named = (each.read.namespace, each.read.kind, each.read.name)
    if each.preset is None or each.reading is None:
        return [(*named, "session", "no", "no preset")]
    reading = each.reading
    rows: list[tuple[str, ...]] = [("preset", each.preset.name, "kind" if not each.preset.match else "match")]
    rows.append(("session", reading.state.value, reading.state_by or "no condition of stopped or ended holds"))
    rows.append(("user", *(reading.user or ("whoever creates it", "requester"))))
    rows += [(name, *said) for name, said in (("project", reading.project), ("category", reading.category)) if said]
    rows += [("group", name, f"field {each.preset.groups}") for name in reading.groups]
    for name, path, value in (
        ("duration", each.preset.duration, reading.duration),
        ("idle", each.preset.idle, reading.idle),
    ):
        if value is not None:
            rows.append((name, str(value), f"field {path}"))
    rows += [row for part in reading.parts for row in _part_rows(part)]
    rows += [(name, amount, "together") for name, amount in _shown(reading.amounts).items()]
    most = "no bound" if reading.most is None else resources.show_list(reading.most)
    if reading.most != reading.amounts:
        rows.append(("at most", most, "upTo"))
    rows += [("elsewhere", "more than that", condition) for condition in reading.elsewhere]
    rows += [
        ("its pods", ",".join(f"{key}={value}" for key, value in labels), "labels") for labels in reading.pod_labels
    ]
    return [(*named, *row) for row in rows]


def _part_rows(part: PartSize) -> list[tuple[str, str, str]]:
    most = "no bound" if part.most is None else f"at most {part.most}" if part.most != part.count else ""
    times = f"{part.count}, {most}" if most else str(part.count)
    size = resources.show_list(part.each) or "nothing"
    return [(f"part {part.name}", f"{times} of {size}", part.where or "the object")]


def _shown(amounts: Amounts) -> dict[str, str]:
    return {name: resources.show(name, amount) for name, amount in amounts}


def _item(each: Tested) -> dict[str, Any]:
    item: dict[str, Any] = {
        "apiVersion": each.read.api_version,
        "kind": each.read.kind,
        "namespace": each.read.namespace,
        "name": each.read.name,
        "preset": each.preset.name if each.preset is not None else None,
    }
    reading = each.reading
    if reading is None:
        return item
    return {
        **item,
        "state": reading.state.value,
        "stateBy": reading.state_by,
        "user": _said(reading.user),
        "project": _said(reading.project),
        "groups": list(reading.groups),
        "category": _said(reading.category),
        "duration": reading.duration,
        "idle": reading.idle,
        "pods": reading.pods,
        "amounts": _shown(reading.amounts),
        "most": None if reading.most is None else _shown(reading.most),
        "parts": [
            {
                "name": part.name,
                "where": part.where,
                "each": _shown(part.each),
                "count": part.count,
                "most": part.most,
            }
            for part in reading.parts
        ],
        "elsewhere": list(reading.elsewhere),
        "podLabels": [dict(labels) for labels in reading.pod_labels],
    }


def _said(said: Said | None) -> dict[str, str] | None:
    return None if said is None else {"name": said.text, "by": said.by}
