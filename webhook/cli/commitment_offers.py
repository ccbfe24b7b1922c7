"""
`userquota commitments offer`, `withdraw-offer`, `accept`: a commitment is handed over by a token, of which the policy
keeps a digest.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Final

import click

from webhook.cli.commitment_edits import make_change
from webhook.cli.commitment_options import (
    SETTINGS,
    Wanted,
    amount_option,
    change_options,
    changes_in,
    given,
    new_holder_of,
    new_holder_options,
    part_into_option,
    part_of,
    period_in,
    time_in,
)
from webhook.cli.commitment_tables import show_edited, show_offered
from webhook.cli.inputs import STANDARD_INPUT, read_inputs
from webhook.quota import commitment_changes as changes
from webhook.quota.commitment_changes import ByName
from webhook.quota.periods import Period
from webhook.quota.transfer_offer import TransferOffer, digest_of
from webhook.wiring.commitment_editor import Known

_TOKEN_BYTES: Final = 20
"""160 bits: more than anybody can try, and not as long as its digest, so that nobody takes one for the other."""


@click.command("offer", context_settings=SETTINGS)
@click.argument("name")
@amount_option
@part_into_option
@given("--until", metavar="TIME", callback=time_in, help="Until when it may be accepted. Default: until withdrawn.")
@given("--for", "period", metavar="PERIOD", callback=period_in, help="How long from now on, instead: as '7 days'.")
@changes_in("table", "json", "yaml", "token")
def offer(  # noqa: PLR0913 - one parameter for each option
    *,
    name: str,
    amounts: Mapping[str, str],
    into: str | None,
    until: datetime | None,
    period: Period | None,
    wanted: Wanted,
) -> None:
    """
    Offer a commitment, or a part of it, to whoever has the token that this prints. It is printed once.

    Until it is accepted it covers its holder as before. The policy keeps a digest of the token, never the token.
    """
    if until is not None and period is not None:
        raise click.UsageError("give one of --until and --for")
    part, token = part_of(amounts, into), secrets.token_hex(_TOKEN_BYTES)

    def change(known: Known) -> ByName:
        ends = until if period is None else period.after(known.now)
        return changes.offer(known.commitments, name, TransferOffer(digest_of(token), ends), known.now, part=part)

    show_offered(make_change(change, wanted), token, wanted.output, dry_run=wanted.dry_run)


@click.command("withdraw-offer", context_settings=SETTINGS)
@click.argument("name")
@change_options
def withdraw_offer(*, name: str, wanted: Wanted) -> None:
    """
    Take the offer of a commitment back. From then on nobody can accept it by the token.
    """
    found = make_change(lambda known: changes.withdraw_offer(known.commitments, name), wanted, mends=True)
    show_edited(found, wanted.output, dry_run=wanted.dry_run)


@click.command("accept", context_settings=SETTINGS)
@click.argument("token", required=False)
@given("--token-file", metavar="FILE", help="Instead: the file that has the token.")
@new_holder_options
@change_options
def accept(*, token: str | None, token_file: str | None, wanted: Wanted, **to: object) -> None:
    """
    Promise the commitment that was offered by TOKEN to somebody else from now on; - reads it from standard input.

    The offer is gone then. What the former holder goes on using is on demand, and has to fit beside it.
    """
    if (token is None) == (token_file is None):
        raise click.UsageError("give the token, - for standard input, or --token-file")
    holder = new_holder_of(to)
    read = _read(token_file or STANDARD_INPUT) if token in (None, STANDARD_INPUT) else _one_word(token or "", "TOKEN")
    found = make_change(lambda known: changes.accept(known.commitments, read, holder, known.now), wanted)
    show_edited(found, wanted.output, dry_run=wanted.dry_run)


OFFERS = (offer, withdraw_offer, accept)


def _read(name: str) -> str:
    """Return the token in a file, or standard input. Raises: InputError, UsageError."""
    return _one_word("\n".join(each.text for each in read_inputs([name])), name)


def _one_word(text: str, source: str) -> str:
    words = text.split()
    if len(words) != 1:
        raise click.UsageError(f"{source}: expected one token, and nothing else")
    return words[0]
