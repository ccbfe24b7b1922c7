"""
`userquota charge`: what objects in files would cost.
"""

from __future__ import annotations

from dataclasses import dataclass

import click
import msgspec

from webhook.cli.inputs import MOST_TEXT, InputError, read_inputs
from webhook.cli.printing import output_option, show_document, show_table
from webhook.documents.object_text import RawObject, read_objects
from webhook.kinds.evaluator import UncountableError
from webhook.kinds.registry import KINDS
from webhook.quota import resources
from webhook.quota.devices import SHIPPED


@dataclass(frozen=True, slots=True)
class ChargedObject:
    """
    An object, what it costs (canonical quantities by resource name, without zeros), and where each comes from.

    `uncounted` are the resources that it asks for and that nothing counts.
    """

    read: RawObject
    charge: dict[str, str]
    reasons: dict[str, str]
    uncounted: tuple[str, ...] = ()


@click.command("charge")
@click.option("-f", "--filename", "names", multiple=True, required=True, help="File, folder or - for standard input.")
@output_option
def command(names: tuple[str, ...], output: str) -> None:
    """
    Show what each object would cost, as ResourceQuota counts it.

    Pods and claims for storage and devices cost. Defaults of the API server are filled in, those of LimitRanges and
    those that a policy has for missing requests are not known here. gpu and accelerator have the weights of the shipped
    table, not of a policy. What a pod asks for and nothing counts is shown with 0.
    Exit code 2 if anything cannot be read; nothing is printed then.
    """
    charged = _charged(names)
    if output == "table":
        rows = [row for each in charged for row in _rows(each)]
        show_table(("NAMESPACE", "KIND", "NAME", "RESOURCE", "AMOUNT", "FROM"), rows)
    else:
        show_document({"items": [_item(each) for each in charged]}, output)


def _charged(names: tuple[str, ...]) -> list[ChargedObject]:
    charged: list[ChargedObject] = []
    mistakes: list[str] = []
    for given in read_inputs(names):
        objects, unreadable = read_objects(given.text, source=given.source, limit=MOST_TEXT)
        mistakes += map(str, unreadable)
        for each in objects:
            try:
                charged.append(_charge(each))
            except (UncountableError, msgspec.MsgspecError) as error:
                mistakes.append(f"{each.source}:{each.position.line}: {each.kind} {each.name}: {error}")
    if mistakes:
        raise InputError("\n".join(mistakes))
    return charged


def _charge(each: RawObject) -> ChargedObject:
    kind = KINDS.of_object(each.api_version, each.kind)
    if kind is None:
        return ChargedObject(each, {}, {})
    decoded = msgspec.json.decode(each.body, type=kind.shape)
    lines = kind.evaluator.explain(decoded)
    raw = resources.amounts({name: line.quantity for name, line in lines.items()})
    charge, reasons = {}, {}
    for name, amount in SHIPPED.derive(raw):
        if name in lines:
            charge[name], reasons[name] = str(lines[name].quantity), lines[name].source
        else:
            charge[name], reasons[name] = resources.show(name, amount), SHIPPED.reason(raw, name)
    return ChargedObject(each, charge, reasons, tuple(sorted(kind.evaluator.uncounted(decoded))))


def _rows(each: ChargedObject) -> list[tuple[str, ...]]:
    told = [(name, amount, each.reasons[name]) for name, amount in sorted(each.charge.items())]
    told += [(name, "0", "counted by nothing") for name in each.uncounted]
    return [(each.read.namespace, each.read.kind, each.read.name, *line) for line in told]


def _item(each: ChargedObject) -> dict[str, object]:
    item: dict[str, object] = {
        "apiVersion": each.read.api_version,
        "kind": each.read.kind,
        "namespace": each.read.namespace,
        "name": each.read.name,
        "charge": each.charge,
    }
    return {**item, "uncounted": list(each.uncounted)} if each.uncounted else item
