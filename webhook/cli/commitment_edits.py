"""
`userquota commitments create`, `split`, `merge`, `convert`, `transfer`, `renew`, `delete`, `confirm`, `can-confirm`:
each makes one change of what was promised, which the admission of edits judges.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import NoReturn, TypeVar

import click

from webhook.cli.commitment_options import (
    SETTINGS,
    Wanted,
    amount_option,
    amounts_of,
    change_options,
    commitment_of,
    every_option,
    fields_of_a_commitment,
    given,
    into_option,
    new_holder_of,
    new_holder_options,
    part_into_option,
    part_of,
    period_in,
    question_options,
)
from webhook.cli.commitment_tables import amounts_text, pool_name, show_edited, show_served
from webhook.cli.errors import tell
from webhook.cli.logs import LEVELS, configure_logging
from webhook.cli.printing import show_document
from webhook.documents.kept_policy import PolicyRefusedError
from webhook.quota import commitment_changes as changes
from webhook.quota.commitment_changes import ByName, ChangeError
from webhook.quota.commitments import Commitment, Pool, State
from webhook.quota.periods import Period, PeriodError
from webhook.quota.windows import written
from webhook.wiring.commitment_editor import (
    Change,
    CommitmentEditor,
    Edited,
    ElsewhereError,
    Known,
    RefusedError,
    connected_editor,
    now,
)
from webhook.wiring.commitment_queue import connected_queue

T = TypeVar("T")

_REFUSALS = (PolicyRefusedError, ChangeError, PeriodError)
"""The answer is no."""

_UNUSED = "new"
"""What a commitment is called that is only asked about."""


@click.command("create", context_settings=SETTINGS)
@click.argument("name")
@fields_of_a_commitment
@given(
    "--state",
    type=click.Choice(["confirmed", "guaranteed", "planned", "pending"]),
    default="confirmed",
    show_default=True,
    help="guaranteed: set aside for later. pending: it waits, see confirm.",
)
@change_options
def create(*, name: str, state: str, wanted: Wanted, **fields: object) -> None:
    """
    Promise a part of a class of nodes to somebody, from now on unless --from says when.

    It is refused where nodes have less than would be used and promised then. Exit code 1 if it is refused.
    """
    new = commitment_of(name, State(state), fields, now())
    _edit(lambda known: changes.create(known.commitments, new), wanted)


@click.command("split", context_settings=SETTINGS)
@click.argument("name")
@amount_option
@into_option
@change_options
def split(*, name: str, amounts: Mapping[str, str], into: str, wanted: Wanted) -> None:
    """
    Take a part out of a commitment, as one of its own. NAME keeps the rest; nothing is promised more or less.
    """
    part = amounts_of(amounts)
    if part is None:
        raise click.UsageError("--amount: say how much is taken out")
    _edit(lambda known: changes.split(known.commitments, name, {into: part}, known.now), wanted)


@click.command("merge", context_settings=SETTINGS)
@click.argument("names", nargs=-1, required=True, metavar="NAME NAME...")
@into_option
@change_options
def merge(*, names: tuple[str, ...], into: str, wanted: Wanted) -> None:
    """
    Make one commitment of several of one holder, pool and state. It ends when the last of them would have ended.

    Those that had begun stay in the list as superseded.
    """
    _edit(lambda known: changes.merge(known.commitments, names, into, known.now), wanted)


@click.command("convert", context_settings=SETTINGS)
@click.argument("name")
@given("--to-class", metavar="CLASS", required=True, help="The class of nodes.")
@given("--to-zone", metavar="ZONE", help="The zone, empty for none. Default: the same.")
@amount_option
@into_option
@change_options
def convert(  # noqa: PLR0913 - one parameter for each option
    *, name: str, to_class: str, to_zone: str | None, amounts: Mapping[str, str], into: str, wanted: Wanted
) -> None:
    """
    Exchange a commitment, or a part of it, for one of another class of nodes.

    Amounts change by `worth` of both classes in the policy, and have to come out whole.
    """
    part = amounts_of(amounts)

    def change(known: Known) -> ByName:
        zone = to_zone
        if zone is None:
            zone = known.commitments[name].pool.zone if name in known.commitments else ""
        pool = Pool(to_class, zone)
        return changes.convert(known.commitments, name, pool, known.worth_of, known.now, into=into, amounts=part)

    _edit(change, wanted)


@click.command("transfer", context_settings=SETTINGS)
@click.argument("name")
@new_holder_options
@amount_option
@part_into_option
@change_options
def transfer(*, name: str, amounts: Mapping[str, str], into: str | None, wanted: Wanted, **to: object) -> None:
    """
    Promise a commitment, or a part of it, to somebody else from now on.

    What the former holder goes on using is on demand then, and has to fit beside it. An offer of it goes.
    """
    holder, part = new_holder_of(to), part_of(amounts, into)
    _edit(lambda known: changes.move(known.commitments, name, holder, known.now, part=part), wanted)


@click.command("renew", context_settings=SETTINGS)
@click.argument("name")
@given("--for", "period", metavar="PERIOD", callback=period_in, help="How long the new one lasts, as '1 year'.")
@given("--without-end", is_flag=True, help="Or that it never ends.")
@into_option
@change_options
def renew(*, name: str, period: Period | None, without_end: bool, into: str, wanted: Wanted) -> None:
    """
    Promise the same again from the end of a commitment on: guaranteed from now on, without a gap.
    """
    if (period is None) != without_end:
        raise click.UsageError("give one of --for and --without-end")
    _edit(lambda known: changes.renew(known.commitments, name, into, period, known.now), wanted)


@click.command("delete", context_settings=SETTINGS)
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@change_options
def delete(*, names: tuple[str, ...], wanted: Wanted) -> None:
    """
    Take commitments away, be they over or not. What runs stays, and is on demand from then on.
    """

    def change(known: Known) -> ByName:
        left = known.commitments
        for name in dict.fromkeys(names):
            left = changes.delete(left, name)
        return left

    _edit(change, wanted, mends=True)


@click.command("confirm", context_settings=SETTINGS)
@click.argument("name", required=False)
@given("--waiting", is_flag=True, help="Instead: all that wait and find room, in their order.")
@every_option
@change_options
def confirm(*, name: str | None, waiting: bool, seconds: float | None, wanted: Wanted) -> None:
    """
    Put a commitment that waits, or is planned, in force.

    With --waiting in each pool the first first; one that finds no room holds back those behind it. All that find room
    are confirmed in one edit, and what the others wait for is told.

    With --waiting and --every it goes on until it is stopped, and writes a log instead.
    """
    if (name is None) != waiting:
        raise click.UsageError("name one, or give --waiting")
    if seconds is not None and (name is not None or wanted.dry_run):
        raise click.UsageError("--every: goes with --waiting, and without --dry-run")
    if name is None:
        if wanted.force:
            raise click.UsageError("--force goes with a NAME: a queue is served as far as there is room")
        if seconds is not None:
            configure_logging(LEVELS["info"])
            asyncio.run(_serve_on(wanted, seconds))
            return
        served = _answered(wanted, lambda editor: editor.serve(dry_run=wanted.dry_run))
        show_served(served, wanted.output, dry_run=wanted.dry_run)
        return
    ahead: list[str] = []

    def change(known: Known) -> ByName:
        ahead[:] = _ahead(known, known.commitments.get(name))
        return changes.confirm(known.commitments, name, known.now)

    _edit(change, wanted)
    _tell_ahead(ahead)


@click.command("can-confirm", context_settings=SETTINGS)
@click.argument("name", required=False)
@fields_of_a_commitment
@question_options
def can_confirm(*, name: str | None, wanted: Wanted, **fields: object) -> None:
    """
    Say whether a commitment could be confirmed now: one that waits, by its NAME, or what the options describe.

    The API server judges it as if it were done; nothing is stored. Exit code 0: yes, 1: no.
    """
    if (name is None) != any(fields.values()):
        raise click.UsageError("name one that waits, or describe one by --node-class, --amount and so on")
    state = State.GUARANTEED if fields["begins"] else State.CONFIRMED
    new = commitment_of(_UNUSED, state, fields, now()) if name is None else None
    ahead: list[str] = []

    def change(known: Known) -> ByName:
        ahead[:] = _ahead(known, new or known.commitments.get(name or ""))
        if new is not None:
            return changes.create(known.commitments, _named_freely(known, new))
        return changes.confirm(known.commitments, name or "", known.now)

    told, reason = _asked(change, wanted)
    if wanted.output == "table":
        click.echo(f"no: {reason}" if reason else f"yes: {told}")
        _tell_ahead(ahead)
    else:
        answer = {"canConfirm": not reason, "reason": reason, "waitingBefore": ahead}
        show_document(
            {field: value for field, value in answer.items() if value or field == "canConfirm"}, wanted.output
        )
    if reason:
        sys.exit(1)


COMMANDS = (create, split, merge, convert, transfer, renew, delete, confirm, can_confirm)


def _edit(change: Change, wanted: Wanted, *, mends: bool = False) -> None:
    """Make a change and print it. Ends with exit code 1 if it is refused."""
    show_edited(make_change(change, wanted, mends=mends), wanted.output, dry_run=wanted.dry_run)


def make_change(change: Change, wanted: Wanted, *, mends: bool = False) -> Edited:
    """Make a change and return it. Ends with exit code 1 if it is refused."""
    return _answered(
        wanted,
        lambda editor: editor.edit(change, force=wanted.force, dry_run=wanted.dry_run, mends=mends),
    )


def _asked(change: Change, wanted: Wanted) -> tuple[str, str]:
    """Return what could be confirmed, or why not; one of them is empty."""
    try:
        edited = _connected(wanted, lambda editor: editor.edit(change, dry_run=True))
    except ElsewhereError:  # nobody was asked
        raise
    except RefusedError as error:
        return "", "; ".join(filter(None, (error.why, _soonest(error))))
    except _REFUSALS as error:
        return "", str(error)
    for each in edited.warnings:
        click.echo(f"Warning: {each}", err=True)
    return _described(edited), ""


def _answered(wanted: Wanted, ask: Callable[[CommitmentEditor], Awaitable[T]]) -> T:
    """Return what *ask* does. Ends with exit code 1 if it is refused."""
    try:
        return _connected(wanted, ask)
    except _REFUSALS as error:
        _refuse(error)


def _connected(wanted: Wanted, ask: Callable[[CommitmentEditor], Awaitable[T]]) -> T:
    async def asked() -> T:
        async with connected_editor(*wanted.asking, namespace=wanted.namespace) as editor:
            return await ask(editor)

    return asyncio.run(asked())


async def _serve_on(wanted: Wanted, seconds: float) -> None:
    async with connected_queue(*wanted.asking, namespace=wanted.namespace) as queue:
        await queue.run(seconds)


def _refuse(error: Exception) -> NoReturn:
    lines = str(error).splitlines()
    if isinstance(error, RefusedError) and error.why != " ".join(lines):
        lines.append("--force REASON writes that annotation")
    if isinstance(error, RefusedError) and (soonest := _soonest(error)):
        lines.append(soonest)
    tell("\n".join(lines))
    sys.exit(1)


def _soonest(error: RefusedError) -> str:
    """Return what ends first of the same nodes, empty if nothing does or that is not what is missing."""
    each = error.soonest
    if each is None or each.ends is None or "more would be promised" not in str(error):
        return ""
    amounts = amounts_text(each.amounts.items())
    return f"of {pool_name(each.pool)}, {each.name} of {each.holder} ends first: {amounts} on {written(each.ends)}"


def _described(edited: Edited) -> str:
    """Return what could be confirmed."""
    return "; ".join(
        f"{amounts_text(each.amounts.items())} of {each.pool} to {each.holder}" for _, each, _ in edited.changes
    )


def _named_freely(known: Known, new: Commitment) -> Commitment:
    """Return a commitment under a name that no other has."""
    name, number = new.name, 2
    while name in known.commitments:
        name, number = f"{new.name}-{number}", number + 1
    return Commitment(name, new.holder, new.pool, new.amounts, new.state, new.begins, new.ends)


def _ahead(known: Known, wanted: Commitment | None) -> list[str]:
    """Return those that wait for the same pool and are to be served before *wanted*, all if it does not wait."""
    for pool, names in changes.waiting(known.commitments, known.now):
        if wanted is not None and wanted.pool == pool:
            return names[: names.index(wanted.name)] if wanted.name in names else names
    return []


def _tell_ahead(ahead: list[str]) -> None:
    if ahead:
        click.echo(f"Waiting before it in the same pool: {', '.join(ahead)}", err=True)
