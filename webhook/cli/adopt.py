"""
`userquota adopt`: let another owner pay for objects that exist.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import click
import msgspec

from webhook.cli.cluster import context_option, login, peoples_kubeconfig_option
from webhook.cli.errors import tell
from webhook.cli.printing import output_option, show_document, show_table
from webhook.kinds.registry import KINDS
from webhook.kube.owner_changes import NewOwner
from webhook.wiring.handover import AllOf, Handover, Named, Outcome, Result, State, hand_over
from webhook.wiring.handover_kinds import may_be_kind

_HEADS = ("RESOURCE", "NAMESPACE", "NAME", "FROM", "TO", "STATE")
_groups_decoder = msgspec.json.Decoder(tuple[str, ...])


@click.command("adopt")
@click.argument("named", required=False, metavar="[KIND/NAME]")
@click.option(
    "--all-of", metavar="OWNER", callback=login, help="Instead: all that OWNER pays for; system:unattributed is nobody."
)
@click.option("--to", "owner", required=True, metavar="OWNER", callback=login, help="Who pays from then on.")
@click.option("--groups", metavar="JSON", help="Their groups, a list of texts. Default: none are known.")
@click.option("-n", "--namespace", default="", help="Where the objects are. Default: the kubeconfig's namespace.")
@click.option("-A", "--all-namespaces", "everywhere", is_flag=True, help="With --all-of: in all namespaces.")
@click.option("--dry-run", is_flag=True, help="Only ask whether each object may be handed over.")
@peoples_kubeconfig_option
@context_option
@output_option
def command(  # noqa: PLR0913 - click passes each option by name
    *,
    named: str | None,
    all_of: str | None,
    owner: str,
    groups: str | None,
    namespace: str,
    everywhere: bool,
    dry_run: bool,
    kubeconfig: Path | None,
    context: str | None,
    output: str,
) -> None:
    """
    Hand objects over to another owner, if there is room for them.

    KIND/NAME is handed over with what controllers made for it: a Deployment with its ReplicaSets and pods, a session
    with its pods. What another owner pays for stays as it is, and is listed. It takes the verb adopt on
    owners.userquota.dev.

    All objects are asked for first; if one is refused, nothing is changed. Then they are handed over one by one. If one
    is refused then, those before it are handed back, which may be refused, too.

    Exit code 1 if an object was refused, 2 if something could not be read or was not answered.
    """
    wanted = Handover(
        target=_target(named, all_of),
        to=NewOwner(_named_owner(owner), _groups(groups)),
        namespace=namespace,
        everywhere=everywhere,
        dry_run=dry_run,
    )
    if everywhere and (named is not None or namespace):
        raise click.UsageError("-A goes with --all-of, and without -n")
    if all_of == owner:
        raise click.UsageError(f"{owner} pays for that already")
    outcome = asyncio.run(hand_over(wanted, kubeconfig=kubeconfig, context=context))
    show_outcome(outcome, wanted, output)
    if outcome.trouble:
        tell(outcome.trouble)
        sys.exit(2)
    if outcome.is_refused:
        sys.exit(1)


def _target(named: str | None, all_of: str | None) -> Named | AllOf:
    if (named is None) == (all_of is None):
        raise click.UsageError("name one object as KIND/NAME, or an owner with --all-of")
    if named is None:
        return AllOf(_named_owner(all_of or ""))
    word, slash, name = named.partition("/")
    if not (word and slash and name):
        raise click.UsageError(f"{named}: expected KIND/NAME, such as deployment/web")
    if not may_be_kind(word):
        known = ", ".join(sorted(each.resource for each in KINDS if each.is_stamped))
        raise click.UsageError(f"{word} is no kind that has an owner; these have, and sessions: {known}")
    return Named(word, name)


def _named_owner(name: str) -> str:
    if not name:
        raise click.UsageError("an owner has a name")
    return name


def _groups(text: str | None) -> tuple[str, ...] | None:
    """Return the groups in the order of a stamp, without repetitions."""
    if text is None:
        return None
    try:
        return tuple(sorted(set(_groups_decoder.decode(text))))
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise click.UsageError("""--groups takes a JSON list of texts, such as '["ml"]'""") from error


def show_outcome(outcome: Outcome, wanted: Handover, output: str) -> None:
    """Print what became of each object."""
    if output != "table":
        show_document({"items": [_item(each, wanted) for each in outcome.results]}, output)
        return
    if outcome.results:
        show_table(_HEADS, [_row(each, wanted) for each in outcome.results])
    if not any(each.state is not State.LEFT for each in outcome.results):
        click.echo("nothing to do", err=True)


def _row(each: Result, wanted: Handover) -> tuple[str, ...]:
    return (*each.owned.key, each.owned.payer.owner, _to(each, wanted), _state(each, wanted))


def _to(each: Result, wanted: Handover) -> str:
    """Return who was meant to pay; for an object that is left alone, who does."""
    return each.text if each.state is State.LEFT else wanted.to.owner


def _state(each: Result, wanted: Handover) -> str:
    match each.state:
        case State.LEFT:
            return f"left: owner {each.text}"
        case State.STAYS:
            return f"stays with {wanted.to.owner}: {each.text}"
        case state:
            return f"{state.value}: {each.text}" if each.text else state.value


def _item(each: Result, wanted: Handover) -> dict[str, object]:
    item: dict[str, object] = {
        **each.owned.key._asdict(),
        "uid": each.owned.meta.uid,
        "from": each.owned.payer.owner,
        "to": _to(each, wanted),
        "state": each.state.value,
    }
    return {**item, "reason": each.text} if each.text and each.state is not State.LEFT else item
