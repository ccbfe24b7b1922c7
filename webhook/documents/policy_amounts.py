"""
The amounts and times of a policy: texts that become exact numbers, and moments with a time zone.
"""

from __future__ import annotations

from datetime import datetime
from fractions import Fraction
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from webhook.documents import json_forms
from webhook.documents.mark_schema import Written
from webhook.quota import durations, periods, quantity, resources, share
from webhook.quota.periods import Period
from webhook.quota.policy import Hard, Unlimited
from webhook.quota.quantity import NANOS, Quantity, QuantityError
from webhook.quota.resources import Amount

_MOST_UNITS = 1_000_000


class _Divisible(str):
    """A text that stands for an amount of a logical resource, which may be a fraction."""

    __slots__ = ()


def _mark_divisible(value: Any) -> Any:
    """Mark the amounts of logical resources, because an amount alone does not tell of what it is."""
    if not isinstance(value, dict):
        return value
    return {
        name: _Divisible(each) if name in resources.LOGICAL and isinstance(each, str) else each
        for name, each in value.items()
    }


class _Time(NamedTuple):
    """What is written for a time."""

    written: Any


def _mark_times(value: Any) -> Any:
    """Mark the amounts of times, which are durations, and no quantities."""
    if not isinstance(value, dict):
        return value
    return {name: _Time(each) if name in durations.TIMES else each for name, each in value.items()}


def _read_time_limit(written: Any) -> Hard:
    if written == Unlimited.UNLIMITED.value:
        return Unlimited.UNLIMITED
    if isinstance(written, bool) or not isinstance(written, (str, int)):
        raise ValueError(  # noqa: TRY004 - pydantic reports a ValueError with its place, a TypeError not at all
            'expected a duration such as 8h or 30m, whole seconds, or the word "unlimited"'
        )
    nanos = durations.parse(written)
    if not nanos:
        raise ValueError("a session cannot last for 0: write sessions: 0 to forbid them")
    return nanos


def _read_hard(value: Any) -> Hard:
    if isinstance(value, _Time):
        return _read_time_limit(value.written)
    if value == Unlimited.UNLIMITED.value:
        return Unlimited.UNLIMITED
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise ValueError(  # noqa: TRY004 - as above
            'expected an amount such as 4, 500m or 8Gi, or the word "unlimited"'
        )
    text = str(value)
    if isinstance(value, _Divisible) and "/" in text:
        return whole_if_possible(share.parse(text) * NANOS)
    amount = read_quantity(text)
    if amount.nanos < 0:
        raise ValueError(f'{text} is negative; 0 forbids, "unlimited" lifts a limit')
    return amount.nanos


def _read_logical(value: Any) -> Hard:
    return _read_hard(_Divisible(value) if isinstance(value, str) else value)


def _read_minimum(value: Any) -> Hard:
    if value == Unlimited.UNLIMITED.value:
        raise ValueError("0 lifts a minimum")
    return _read_hard(value)


def read_quantity(text: str) -> Quantity:
    """Return the quantity that is written. Raises: ValueError."""
    if not any(digit in text for digit in "0123456789"):  # the API server reads "k" as zero; here it is a slip
        raise ValueError(str(QuantityError(text, "it has no digits")))
    return quantity.parse(text)


def whole_if_possible(number: Fraction) -> Amount:
    """Return *number* as an integer if it is one."""
    return int(number) if number.denominator == 1 else number


def _read_units(value: Any) -> int | Unlimited:
    if value == Unlimited.UNLIMITED.value:
        return Unlimited.UNLIMITED
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MOST_UNITS:
        raise ValueError(f'expected a number of units from 0 to {_MOST_UNITS}, or the word "unlimited"')
    return value


def _read_time(value: Any) -> datetime:
    """A number is no time here: `until: 2027` would be a moment in 1970, and the entry never in force."""
    if not isinstance(value, str) or isinstance(value, Written):
        raise ValueError("expected a time, as in 2027-01-31T00:00:00Z")  # noqa: TRY004 - as above
    try:
        moment = datetime.fromisoformat(value)
    except ValueError as error:
        raise ValueError("expected a time, as in 2027-01-31T00:00:00Z") from error
    if moment.tzinfo is None:
        raise ValueError("the time zone is missing: write Z for UTC, or as in 2027-01-31T00:00:00+01:00")
    return moment


def _read_period(value: Any) -> Period:
    if not isinstance(value, str) or isinstance(value, Written):
        raise ValueError("expected a period, as in 1 year, 3 months")  # noqa: TRY004 - as above
    return periods.parse(value)


def _known_resource(name: str) -> str:
    if name in durations.TIMES:
        raise ValueError("only perSession bounds it")
    if resources.canonical_name(name) is None:
        raise ValueError("unknown resource")
    return name


def _of_session(name: str) -> str:
    return name if name in durations.TIMES else _known_resource(name)


ResourceName = Annotated[str, AfterValidator(_known_resource)]
HardAmount = Annotated[Any, BeforeValidator(_read_hard), WithJsonSchema(json_forms.HARD_AMOUNT)]
LogicalAmount = Annotated[Any, BeforeValidator(_read_logical), WithJsonSchema(json_forms.LOGICAL_AMOUNT)]
CalendarPeriod = Annotated[Period, BeforeValidator(_read_period), WithJsonSchema(json_forms.PERIOD)]
Units = Annotated[Any, BeforeValidator(_read_units), WithJsonSchema(json_forms.UNITS)]
Moment = Annotated[datetime, BeforeValidator(_read_time), WithJsonSchema(json_forms.TIME)]
HardList = Annotated[
    dict[ResourceName, HardAmount], BeforeValidator(_mark_divisible), WithJsonSchema(json_forms.HARD_LIST)
]
SessionHardList = Annotated[
    dict[Annotated[str, AfterValidator(_of_session)], HardAmount],
    BeforeValidator(_mark_times),
    BeforeValidator(_mark_divisible),
    WithJsonSchema(json_forms.SESSION_LIST),
]
MinimumList = Annotated[
    dict[ResourceName, Annotated[Any, BeforeValidator(_read_minimum)]],
    BeforeValidator(_mark_divisible),
    WithJsonSchema(json_forms.HARD_LIST),
]
