"""
What a check of manifests comes to, as the document that `userquota check` prints and a QuotaCheck has as its status.

Amounts are exact, as `quota.resources.show` writes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction

from msgspec import UNSET, Struct, UnsetType, structs

from webhook.admission.manifests import Check, Checked
from webhook.admission.verdicts import Left, Verdict
from webhook.quota import message
from webhook.quota.fitting import Room
from webhook.quota.limits import Limit
from webhook.quota.policy import Mode
from webhook.quota.resources import Amount, show

FITS, DOES_NOT_FIT, COSTS_NOTHING, NO_VERDICT = "fits", "does not fit", "costs nothing", "no verdict"


class LimitRow(Struct, frozen=True, rename="camel", kw_only=True):
    """A limit, and the entry of the policy that sets it."""

    entry: str
    place: str
    subject: str
    resource: str
    mode: str
    hard: str


class RoomRow(LimitRow, frozen=True, rename="camel", kw_only=True):
    """What a limit left for an object. The tightest is the one that leaves the smallest part of what is asked for."""

    requested: str
    used: str
    reserved: str
    free: str
    exceeded: bool
    tightest: bool


class LeftRow(LimitRow, frozen=True, rename="camel", kw_only=True):
    """What is taken of a limit, and free, once all that is allowed is stored."""

    taken: str
    free: str


class Copies(Struct, frozen=True):
    """The pods of a workload, or what else it makes: what they are called, how many it wants, how many fit."""

    called: str
    wanted: int
    fit: int


class Item(Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    """The verdict on one object. `place` is where it was written, which only its author knows."""

    api_version: str
    kind: str
    namespace: str
    name: str
    place: str = ""
    verdict: str
    texts: tuple[str, ...] = ()
    copies: Copies | UnsetType = UNSET
    would_fit: str = ""
    adds: dict[str, str] = {}
    limits: tuple[RoomRow, ...] = ()


class CheckStatus(Struct, frozen=True):
    """All verdicts, what all objects add together, what is left of each limit, and what the answer leaves open."""

    fits: bool
    items: tuple[Item, ...]
    adds: dict[str, str]
    limits: tuple[LeftRow, ...]
    notes: tuple[str, ...]


def status_of(came: Check) -> CheckStatus:
    """Return the document of a check."""
    items = tuple(map(_item, came.objects))
    return CheckStatus(
        not any(each.verdict in (DOES_NOT_FIT, NO_VERDICT) for each in items),
        items,
        _shown(_added(came.objects).items(), (each.limit for each in came.left)),
        tuple(map(_left, came.left)),
        came.notes,
    )


def _item(each: Checked) -> Item:
    written, verdict = each.written, each.verdict
    item = Item(
        api_version=written.api_version,
        kind=written.kind,
        namespace=each.namespace,
        name=written.name,
        place=written.place,
        verdict=_verdict(each),
        texts=tuple(_texts(each)),
    )
    if verdict is None:
        return item
    tightest, workload = _tightest(verdict), verdict.workload
    return structs.replace(
        item,
        copies=UNSET if workload is None else Copies(workload.noun, workload.fitting.number, workload.fitting.fits),
        would_fit=_largest(verdict),
        adds=_shown(verdict.adds, (room.limit for room in verdict.rooms)),
        limits=tuple(_room(room, is_tightest=room is tightest) for room in verdict.rooms),
    )


def _shown(amounts: Iterable[tuple[str, Amount]], limits: Iterable[Limit]) -> dict[str, str]:
    """Return *amounts* by name, in the notation of the *limits* on them."""
    forms = {each.resource: each.form for each in limits}
    return {name: show(name, amount, forms.get(name)) for name, amount in sorted(amounts)}


def _verdict(each: Checked) -> str:
    if each.unjudged:
        return NO_VERDICT
    if each.verdict is None:
        return COSTS_NOTHING
    return FITS if each.verdict.fits else DOES_NOT_FIT


def _texts(each: Checked) -> Iterator[str]:
    """Yield what is to say of an object beside its verdict."""
    yield from filter(None, (each.unjudged, each.free))
    if each.verdict is not None:
        yield from each.verdict.refusals
    yield from each.notes


def _largest(verdict: Verdict) -> str:
    workload = verdict.workload
    if workload is not None and workload.fitting.fits == 0:
        return f"0 {workload.noun}"
    return message.largest(verdict.rooms, None if workload is None else workload.noun) or "no limit refuses it"


def _tightest(verdict: Verdict) -> Room | None:
    """Return the limit that leaves the smallest part of what is asked for, of those that refuse."""
    refusing = [each for each in verdict.rooms if each.limit.mode is Mode.ENFORCE]
    return min(refusing, key=lambda each: Fraction(each.most) / Fraction(max(each.number, 1) * each.each), default=None)


def _added(objects: Iterable[Checked]) -> Mapping[str, Amount]:
    added: dict[str, Amount] = {}
    for each in objects:
        for name, amount in each.verdict.adds if each.verdict is not None else ():
            added[name] = added.get(name, 0) + amount
    return added


def _room(room: Room, *, is_tightest: bool) -> RoomRow:
    amounts = {"requested": max(room.requested, 0), "used": room.used, "reserved": room.reserved, "free": room.free}
    shown = {what: room.limit.shown(amount) for what, amount in amounts.items()}
    return RoomRow(**_limit(room.limit), **shown, exceeded=room.is_exceeded, tightest=is_tightest)


def _left(each: Left) -> LeftRow:
    limit = each.limit
    return LeftRow(**_limit(limit), taken=limit.shown(each.taken), free=limit.shown(each.free))


def _limit(limit: Limit) -> dict[str, str]:
    return {
        "entry": limit.entry,
        "place": limit.place,
        "subject": limit.subject,
        "resource": limit.resource,
        "mode": limit.mode.value,
        "hard": limit.shown(limit.hard),
    }
