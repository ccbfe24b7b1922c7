"""
`userquota charge`: what objects in files would cost.
"""

from __future__ import annotations

import re
import sys

import click

from webhook.cli.checked_policy import checked_policy
from webhook.cli.manifests import end_if_unreadable, given_manifests
from webhook.cli.printing import output_option, show_document, show_table
from webhook.documents import preset_files
from webhook.documents.shipped_presets import shipped
from webhook.quota.policy import Policy
from webhook.quota.resources import LOGICAL
from webhook.wiring.manifest_costs import Line, ObjectCost, costs_of, total

_LONGEST_SOURCE = 80
_BETWEEN_SOURCES = re.compile(r" \+ |; ")


@click.command("charge")
@click.argument("files", metavar="[FILE]...", nargs=-1)
@click.option("-f", "--filename", "names", multiple=True, help="File, folder or - for standard input.")
@click.option(
    "-p", "--policy", "policies", multiple=True, help="Policy file; its presets and weights instead of those shipped."
)
@click.option("--continue", "goes_on", is_flag=True, help="Show the rest if something cannot be read.")
@output_option
def command(
    *, files: tuple[str, ...], names: tuple[str, ...], policies: tuple[str, ...], goes_on: bool, output: str
) -> None:
    """
    Show what the objects in files would cost, as ResourceQuota counts it, and their sum.

    Workloads are shown with the pods that they make, and with the claims of these; sessions with their pods. A
    DaemonSet has a pod on each node, of which one is shown. Defaults of the API server are filled in, those of
    LimitRanges and those that a policy has for missing requests are not known here, nor is what a ResourceClaimTemplate
    makes. Of gpu and accelerator the weight is shown by which each device counts. What a pod asks for and nothing
    counts is shown with 0, and of an object that costs nothing why. What is surely misspelt is noted on standard error.

    Exit code 2 if anything cannot be read; without --continue nothing is printed then. Files of a folder that are no
    manifests are named and passed over.
    """
    if not (files or names):
        raise click.UsageError("name a file, or a folder, or - for standard input")
    policy = checked_policy(policies, exit_code=2) if policies else _shipped()
    manifests = given_manifests((*names, *files), goes_on=goes_on, may_repeat=True)
    costs, mistakes = costs_of(manifests.objects, policy)
    end_if_unreadable(mistakes, goes_on=goes_on)
    for each in costs:
        for note in each.notes:
            click.echo(f"note: {each.read.title}: {note}", err=True)
    summed = total(costs)
    if output == "table":
        show_table(
            ("NAMESPACE", "KIND", "NAME", "RESOURCE", "AMOUNT", "FROM"), [row for each in costs for row in _rows(each)]
        )
        if summed:
            click.echo()
            show_table(("RESOURCE", "TOTAL", "FROM"), [(each.resource, each.shown, _how(each)) for each in summed])
    else:
        totals = {each.resource: each.shown for each in summed}
        show_document({"items": [_item(each) for each in costs], "totals": totals}, output)
    if manifests.mistakes or mistakes:
        sys.exit(2)


def _shipped() -> Policy:
    return Policy(presets=tuple(map(shipped, preset_files.names())))


def _rows(each: ObjectCost) -> list[tuple[str, ...]]:
    told = [(line.resource, line.shown, _shortened(line.source)) for line in each.lines]
    told += [(name, "0", "counted by nothing") for name in each.uncounted]
    if each.nothing:
        told.append(("-", "0", each.nothing))
    return [(each.read.namespace, each.read.kind, each.read.name, *line) for line in told]


def _how(line: Line) -> str:
    """Return how a logical resource comes about; of others that stands with each object."""
    return _shortened(line.source) if line.resource in LOGICAL else ""


def _shortened(source: str) -> str:
    """Return the first parts of *source* and how many more there are, so that a column stays readable."""
    ends = [each.start() for each in _BETWEEN_SOURCES.finditer(source)]
    if len(source) <= _LONGEST_SOURCE or not ends:
        return source
    fitting = [end for end in ends if end <= _LONGEST_SOURCE] or ends[:1]
    return f"{source[: fitting[-1]]} and {len(ends) + 1 - len(fitting)} more"


def _item(each: ObjectCost) -> dict[str, object]:
    item: dict[str, object] = {
        "apiVersion": each.read.api_version,
        "kind": each.read.kind,
        "namespace": each.read.namespace,
        "name": each.read.name,
        "charge": {line.resource: line.shown for line in each.lines},
    }
    if each.uncounted:
        item["uncounted"] = list(each.uncounted)
    if each.nothing:
        item["nothing"] = each.nothing
    return item
