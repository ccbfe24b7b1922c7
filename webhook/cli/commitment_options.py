"""
The options of commands that change commitments, and what is made of them. They are read as in a policy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial, wraps
from typing import NamedTuple, TypeVar

import click

from webhook.cli.cluster import Asking, asking_options, namespace_option
from webhook.cli.printing import output_in
from webhook.documents.commitment_text import (
    CommitmentTextError,
    read_amounts,
    read_commitment,
    read_holder,
    read_subject,
    read_until,
)
from webhook.quota import durations, periods, windows
from webhook.quota.commitments import Commitment, State
from webhook.quota.periods import Period, PeriodError
from webhook.quota.resources import Amount
from webhook.quota.subject import Subject

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., object])

SETTINGS = {"auto_envvar_prefix": "USERQUOTA"}
"""The cluster and the form of the output can be set in the environment; what is changed, never."""

given = partial(click.option, allow_from_autoenv=False)
"""An option that says what is changed."""

_NANOS = 1_000_000_000
_SHORTEST = 10 * _NANOS
"""Between two rounds of what goes on: each may be an edit of the policy, which every replica reads again."""

_HOLDERS = {
    "tenant": "tenant",
    "group": "group",
    "user": "user",
    "service_account": "serviceAccount",
    "namespace_holder": "namespace",
}
"""The fields of a commitment that name its holder, by the parameters of options."""

_OPTIONS = {
    "tenant": "--tenant",
    "group": "--group",
    "user": "--user",
    "serviceAccount": "--service-account",
    "namespace": "--namespace-holder",
    "nodeClass": "--node-class",
    "zone": "--zone",
    "amounts": "--amount",
    "state": "--state",
    "from": "--from",
    "until": "--until",
    "for": "--for",
}
"""The options by the fields of a commitment."""

_TO_OPTIONS = {
    "tenant": "--to-tenant",
    "group": "--to-group",
    "user": "--to-user",
    "serviceAccount": "--to-service-account",
    "namespace": "--to-namespace",
}
"""The same where it gets another holder."""


class Wanted(NamedTuple):
    """Which cluster is asked, where userquota is in it, and how a change is made and printed."""

    asking: Asking
    namespace: str
    output: str
    dry_run: bool = True
    force: str = ""


def changes_in(*formats: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return what adds the options of all changes, printed in one of *formats*; they are handed over as `wanted`."""

    def added(function: Callable[..., None]) -> Callable[..., None]:
        @given("--dry-run", is_flag=True, help="Only have the API server judge it: nothing is stored.")
        @given(
            "--force", metavar="REASON", callback=_reason, default="", help="Why it is accepted although it is refused."
        )
        @wraps(function)
        def changes(
            asking: Asking, namespace: str, output: str, *, dry_run: bool, force: str, **others: object
        ) -> None:
            function(wanted=Wanted(asking, namespace, output, dry_run, force), **others)

        return asking_options(namespace_option(output_in(*formats)(changes)))

    return added


change_options = changes_in("table", "json", "yaml", "name")
"""Adds the options of changes that print no more than what was changed."""


def question_options(function: Callable[..., None]) -> Callable[..., None]:
    """Add the options of a question, which changes nothing; *function* gets them as `wanted`."""

    @wraps(function)
    def asks(asking: Asking, namespace: str, output: str, **others: object) -> None:
        function(wanted=Wanted(asking, namespace, output), **others)

    return asking_options(namespace_option(output_in("table", "json", "yaml")(asks)))


def _reason(_: click.Context, __: click.Parameter, written: str) -> str:
    if written and not written.strip():
        raise click.UsageError("--force: expected a reason")
    return written


def _seconds(_: click.Context, __: click.Parameter, written: str | None) -> float | None:
    try:
        nanos = None if written is None else durations.parse(written)
    except durations.DurationError as error:
        raise click.UsageError(f"--every: {error}") from error
    if nanos is not None and nanos < _SHORTEST:
        raise click.UsageError("--every: expected 10s or more")
    return None if nanos is None else nanos / _NANOS


every_option = given(
    "--every", "seconds", metavar="DURATION", callback=_seconds, help="Go on, and look again so often: as 5m."
)
"""Seconds between two rounds of a command that goes on until it is stopped; None if it ends after the first."""

amount_option = given(
    "--amount",
    "amounts",
    metavar="RESOURCE=AMOUNT",
    multiple=True,
    callback=lambda _, __, given: _pairs(given),
    help="How much, as gpu=8 or memory=2Ti; repeatable, or several with commas between.",
)
"""Amounts as a policy has them, by resource."""

part_into_option = given(
    "--into", metavar="NEWNAME", help="With --amount: what the part is called. NAME keeps the rest."
)

into_option = given("--into", metavar="NEWNAME", required=True, help="The name of the new one.")


def fields_of_a_commitment(function: F) -> F:
    """Add the options that say what is promised to whom, for a time; *function* gets them as keywords."""
    options = (
        given("--tenant", metavar="NAME", help="The tenant to which it is promised."),
        given("--group", metavar="NAME", help="Or the group, to its members together."),
        given("--user", "holding_user", metavar="NAME", help="Or the person."),
        given("--service-account", metavar="NAMESPACE/NAME", help="Or the service account."),
        given("--namespace-holder", metavar="NAME", help="Or the namespace."),
        given("--node-class", metavar="CLASS", help="The class of nodes, an entry of nodeClasses."),
        given("--zone", metavar="ZONE", help="The zone, where commitments of the class name one."),
        amount_option,
        given("--from", "begins", metavar="TIME", help="When it begins, as 2027-01-01T00:00:00Z. Default: now."),
        given("--until", metavar="TIME", help="When it ends. Default: never."),
        given("--for", "period", metavar="PERIOD", help="How long it lasts, instead: as '1 year, 3 months'."),
    )
    for each in reversed(options):
        function = each(function)
    return function


def commitment_of(name: str, state: State, options: Mapping[str, object], now: datetime) -> Commitment:
    """Return the commitment that options describe. What is not guaranteed begins now by default. Raises: UsageError."""
    values = {**options, "user": options["holding_user"]}
    fields = {field: values[each] for each, field in _HOLDERS.items()}
    fields |= {"nodeClass": options["node_class"], "zone": options["zone"], "amounts": options["amounts"]}
    fields |= {"state": state.value, "from": options["begins"], "until": options["until"], "for": options["period"]}
    if fields["from"] is None and state is not State.GUARANTEED:
        fields["from"] = windows.written(now)
    fields = {field: value for field, value in fields.items() if value is not None}
    return told_by_option(lambda: read_commitment(name, fields))


def amounts_of(written: Mapping[str, str]) -> Mapping[str, Amount] | None:
    """Return amounts of a part, by canonical names; None if none are given. Raises: UsageError."""
    return told_by_option(lambda: read_amounts(written)) if written else None


def new_holder_options(function: F) -> F:
    """Add the options that say who gets a commitment; *function* gets them as keywords, see `new_holder_of`."""
    options = (
        given("--to", "to_subject", metavar="SUBJECT", help="Who gets it: tenant/NAME, group/NAME and so on. Or:"),
        given("--to-tenant", metavar="NAME", help="The tenant that gets it."),
        given("--to-group", metavar="NAME", help="Or the group."),
        given("--to-user", metavar="NAME", help="Or the person."),
        given("--to-service-account", metavar="NAMESPACE/NAME", help="Or the service account."),
        given("--to-namespace", metavar="NAME", help="Or the namespace."),
    )
    for each in reversed(options):
        function = each(function)
    return function


def new_holder_of(options: Mapping[str, object]) -> Subject:
    """Return who gets it, by one of *options*. Raises: UsageError."""
    parameters = {field: option.removeprefix("--").replace("-", "_") for field, option in _TO_OPTIONS.items()}
    fields = {field: options[each] for field, each in parameters.items() if options[each] is not None}
    subject = options["to_subject"]
    if len(fields) + (subject is not None) != 1:
        raise click.UsageError(f"say to whom, by one of {', '.join((*_TO_OPTIONS.values(), '--to'))}")
    if subject is not None:
        return told_by_option(lambda: read_subject(str(subject)), dict.fromkeys(("", *_TO_OPTIONS), "--to"))
    return told_by_option(lambda: read_holder(fields), _TO_OPTIONS)


def part_of(amounts: Mapping[str, str], into: str | None) -> tuple[str, Mapping[str, Amount]] | None:
    """Return a part with its name, by --amount and --into; None if it is all. Raises: UsageError."""
    part = amounts_of(amounts)
    if (part is None) != (into is None):
        raise click.UsageError("--amount and --into go together: a part needs a name")
    return None if part is None or into is None else (into, part)


def time_in(_: click.Context, __: click.Parameter, written: str | None) -> datetime | None:
    """Return the time of --until as it is written. Raises: UsageError."""
    return None if written is None else told_by_option(lambda: read_until(written))


def told_by_option(read: Callable[[], T], options: Mapping[str, str] = _OPTIONS) -> T:
    """Return what *read* returns. Raises: UsageError with a line for each mistake, which names one of *options*."""
    try:
        return read()
    except CommitmentTextError as error:
        raise click.UsageError("\n".join(_told(*each, options) for each in error.mistakes)) from error


def period_in(_: click.Context, parameter: click.Parameter, written: str | None) -> Period | None:
    """Return a period as it is written. Raises: UsageError."""
    try:
        return None if written is None else periods.parse(written)
    except PeriodError as error:
        raise click.UsageError(f"{parameter.opts[0]}: {error}") from error


def _pairs(given: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for each in (part for text in given for part in text.split(",")):
        name, equals, amount = each.partition("=")
        if not (name and equals and amount):
            raise click.UsageError(f"--amount: {each}: expected RESOURCE=AMOUNT, as in gpu=8")
        if name in found:
            raise click.UsageError(f"--amount: {name} is given twice")
        found[name] = amount
    return found


def _told(field: str, what: str, options: Mapping[str, str]) -> str:
    """Return a mistake with the option in the place of the field: `--amount gpuu: unknown resource`."""
    first = field.replace("[", ".", 1).partition(".")[0]
    if first not in options:
        return f"{field}: {what}" if field else what
    rest = field.removeprefix(first).removeprefix(".")
    return f"{options[first]}{f' {rest}' if rest else ''}: {what}"
