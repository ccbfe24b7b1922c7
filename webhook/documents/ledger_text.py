"""
The ledger as a text, and back: a line with the format's version and a checksum, and one line of JSON.

The text is opaque to Kubernetes on purpose: with 500 reservations as structured fields one swap took 51 ms, as a text
6 ms. Payers and amounts are written once each, because pods of one workload share them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from fractions import Fraction

import msgspec

from webhook.quota.charge import Reservation, Slot
from webhook.quota.errors import WebhookError
from webhook.quota.ledger import Ledger
from webhook.quota.resources import Amount, Amounts
from webhook.quota.subject import Payer

FORMAT = 1
_NAME = "userquota-ledger"


class LedgerDamagedError(WebhookError):
    """The text is not what a replica wrote: edited, cut, or somebody else's."""


class NewerFormatError(WebhookError):
    """The text was written by a newer version of userquota, which knows more than we would keep."""


class _Line(msgspec.Struct, array_like=True, frozen=True):
    token: str
    resource: str
    namespace: str
    name: str
    uid: str
    base: int
    payer: int
    amounts: int


class _Body(msgspec.Struct, rename="camel", frozen=True, forbid_unknown_fields=True):
    object: str
    epoch: str
    state: str
    write: int
    settled_through: dict[str, int]
    payers: list[tuple[str, list[str]]]
    amounts: list[list[tuple[str, str]]]
    reservations: list[_Line]


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(_Body)

_OPEN, _REBUILDING = "open", "rebuilding"


def write_ledger(ledger: Ledger, *, uid: str) -> str:
    """
    Give the text of *ledger*, as it is to lie in the object with that *uid*.

    The uid is empty where the object does not exist yet. A text in another object is a copy, such as from a backup.
    """
    payers: dict[Payer, int] = {}
    amounts: dict[Amounts, int] = {}
    lines = [
        _Line(
            token,
            *each.slot,
            each.uid,
            each.base,
            payers.setdefault(each.payer, len(payers)),
            amounts.setdefault(each.amounts, len(amounts)),
        )
        for token, each in ledger.reservations.items()
    ]
    body = _encoder.encode(
        _Body(
            uid,
            ledger.epoch,
            _OPEN if ledger.is_open else _REBUILDING,
            ledger.write,
            dict(ledger.settled_through),
            [(payer.owner, list(payer.groups)) for payer in payers],
            [[(name, str(amount)) for name, amount in each] for each in amounts],
            lines,
        )
    )
    return f"{_NAME} {FORMAT} sha256={hashlib.sha256(body).hexdigest()}\n{body.decode()}\n"


def read_ledger(text: str, *, uid: str) -> Ledger:
    """
    Give the ledger that *text* tells of, found in the object with that *uid*.

    Raises: LedgerDamagedError; NewerFormatError, which must not be overwritten.
    """
    head, _, rest = text.partition("\n")
    name, *words = head.split(" ")
    if name != _NAME or len(words) != 2 or not words[0].isdecimal() or not words[0].isascii():
        raise LedgerDamagedError("it does not begin as a ledger does")
    if int(words[0]) > FORMAT:
        raise NewerFormatError(f"it has format {words[0]}; this version knows {FORMAT}")
    body = rest.removesuffix("\n").encode(errors="surrogatepass")
    if words[1] != f"sha256={hashlib.sha256(body).hexdigest()}":
        raise LedgerDamagedError("its checksum is wrong")
    try:
        decoded = _decoder.decode(body)
        reservations = _reservations(decoded)
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError, IndexError, ZeroDivisionError) as error:
        raise LedgerDamagedError(f"it cannot be read: {error}") from error
    if decoded.state not in (_OPEN, _REBUILDING):
        raise LedgerDamagedError(f"its state {decoded.state!r} is unknown")
    if decoded.object != uid and (decoded.object or decoded.write):
        raise LedgerDamagedError("it was copied from another object")
    return Ledger(
        decoded.epoch,
        is_open=decoded.state != _REBUILDING,
        write=decoded.write,
        settled_through=decoded.settled_through,
        reservations=reservations,
    )


def _reservations(body: _Body) -> Mapping[str, Reservation]:
    payers = [Payer(owner, tuple(groups)) for owner, groups in body.payers]
    amounts: list[Amounts] = [tuple((name, _amount(text)) for name, text in each) for each in body.amounts]
    return {
        line.token: Reservation(
            Slot(line.resource, line.namespace, line.name),
            line.uid,
            line.base,
            payers[line.payer],
            amounts[line.amounts],
        )
        for line in body.reservations
    }


def _amount(text: str) -> Amount:
    return int(text) if text.isdecimal() else Fraction(text)
