"""
What a broker sends, read strictly: fields that are not known are skipped, and everything else has to be as declared.

Go writes `null` for an empty list or map, so that is the same as an empty one here.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any, Final, TypeVar

import msgspec

from webhook.liquid.offers import Offer, Offers
from webhook.liquid.zones import NO_ZONES
from webhook.quota.commitments import FINAL, State
from webhook.quota.errors import WebhookError

_Moment = Annotated[datetime, msgspec.Meta(tz=True)]
T = TypeVar("T")

MOST: Final = 2**63 - 1
"""The largest number of units: quotas are told in 64 bits with a sign."""

_MOST_ZONES: Final = 100
"""Zones of a report. Each has a row for each resource."""

_LONGEST_TOLD: Final = 500
"""Characters of an error: names of fields may be as long as a request."""

_UUID: Final = re.compile(r"[A-Za-z0-9-]{6,40}", re.ASCII)
_PROJECT: Final = re.compile(r"[!-~]{1,64}", re.ASCII)
_LONGEST_ZONE: Final = 253
_ESCAPED: Final = re.compile(r"\\u[dD][89a-fA-F]", re.ASCII)
"""Begins the escape of a surrogate, of which each half may stand alone in JSON."""


class MalformedError(WebhookError):
    """A request that is not as LIQUID declares it. The text is one line that begins with the field."""

    def __init__(self, where: str, why: str) -> None:
        """Say *why* the field *where* is wrong; empty for the request as a whole. Either may quote what was sent."""
        said = f"{where}: {why}" if where else why
        shown = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in said[:_LONGEST_TOLD])
        super().__init__(shown if len(said) <= _LONGEST_TOLD else f"{shown}…")


class RefusedError(WebhookError):
    """A request that is as LIQUID declares it, and cannot be granted. The text says why."""


class CommitmentChange(msgspec.Struct, frozen=True, rename="camel"):
    """
    One commitment, and what becomes of it: `old_status` None if it is made or moves in, `new_status` None if it is
    deleted or moves out. `amount` is in units.

    `confirm_by` is when it begins, if not at once, `expires_at` when it ends, and `old_expires_at` when it did before.
    """

    uuid: str
    amount: int
    expires_at: _Moment
    old_status: State | None = None
    new_status: State | None = None
    confirm_by: _Moment | None = None
    old_expires_at: _Moment | None = None

    @property
    def stays(self) -> bool:
        """Whether there is such a commitment afterwards, which is not over."""
        return self.new_status is not None and self.new_status not in FINAL


class ResourceChanges(msgspec.Struct, frozen=True, rename="camel"):
    """The changes of one resource of one project, and the sums of what is confirmed and guaranteed around them."""

    total_confirmed_before: int
    total_confirmed_after: int
    total_guaranteed_before: int
    total_guaranteed_after: int
    commitments: tuple[CommitmentChange, ...]


Changes = Mapping[str, Mapping[str, ResourceChanges]]
"""By project, and by the name of the resource."""


@dataclass(frozen=True, slots=True)
class CommitmentRequest:
    """Changes of commitments of one zone that are made together or not at all; none if it `is_dry_run`."""

    zone: str
    is_dry_run: bool
    info_version: int
    by_project: Changes = field(default_factory=dict)

    def every(self) -> Iterator[tuple[str, str, CommitmentChange]]:
        """Yield each change with its project and the name of its resource."""
        for project, by_resource in self.by_project.items():
            for resource, changes in by_resource.items():
                yield from ((project, resource, each) for each in changes.commitments)


class _Zones(msgspec.Struct, frozen=True):
    zones: list[str] | None = msgspec.field(name="allAZs")


class _Change(msgspec.Struct, frozen=True, rename="camel"):
    az: str
    info_version: int
    by_project: dict[str, Any] | None
    dry_run: bool = False


class _Project(msgspec.Struct, frozen=True, rename="camel"):
    by_resource: dict[str, Any] | None


class _Quotas(msgspec.Struct, frozen=True):
    resources: dict[str, Any] | None


class _Quota(msgspec.Struct, frozen=True):
    quota: int
    per_zone: dict[str, Any] | None = msgspec.field(name="perAZ", default=None)


class _Metadata(msgspec.Struct, frozen=True):
    uuid: str


class _WithMetadata(msgspec.Struct, frozen=True, rename="camel"):
    project_metadata: _Metadata | None = None


def read_zones(body: bytes, *, project: str = "") -> tuple[str, ...]:
    """
    Return the zones of which a report is asked for, each once; of capacity, or of the usage of a *project*.

    Raises: MalformedError.
    """
    document = _document(body)
    if project:
        _check_metadata(document, project, "")
    asked = _converted(document, _Zones, "").zones or ()
    if len(asked) > _MOST_ZONES:
        raise MalformedError("allAZs", f"expected at most {_MOST_ZONES} zones")
    for number, zone in enumerate(asked):
        _check_zone(zone, f"allAZs[{number}]")
    return tuple(dict.fromkeys(asked))


def read_quotas(body: bytes, *, project: str) -> Mapping[str, int]:
    """Return the quotas of a *project*, in units, by the name of the resource. Raises: MalformedError."""
    document = _document(body)
    _check_metadata(document, project, "")
    found: dict[str, int] = {}
    for name, each in (_converted(document, _Quotas, "").resources or {}).items():
        where = f"resources[{name!a}]"
        read = _converted(each, _Quota, where)
        if read.per_zone is not None:
            raise MalformedError(f"{where}.perAZ", "quotas have no zones here, as the topology az-aware says")
        found[name] = _units(read.quota, f"{where}.quota", least=0)
    return found


def read_changes(body: bytes) -> CommitmentRequest:
    """Return the changes of commitments that are asked for. Raises: MalformedError."""
    document = _document(body)
    asked = _converted(document, _Change, "")
    _check_zone(asked.az, "az")
    by_project: dict[str, dict[str, ResourceChanges]] = {}
    for project, of_project in (asked.by_project or {}).items():
        where = f"byProject[{project!a}]"
        if not is_project(project):
            raise MalformedError(where, "expected an id of 1 to 64 visible characters")
        _check_metadata(of_project, project, where)
        by_project[project] = {
            name: _changes(each, f"{where}.byResource[{name!a}]")
            for name, each in (_converted(of_project, _Project, where).by_resource or {}).items()
        }
    request = CommitmentRequest(asked.az, asked.dry_run, asked.info_version, by_project)
    _check_uuids(request)
    return request


def check_quotas(quotas: Mapping[str, int], offers: Offers) -> None:
    """Check that all *quotas* are of resources that are offered, and can be written. Raises: MalformedError."""
    for name, units in quotas.items():
        where = f"resources[{name!a}]"
        _check_units(_offer(name, offers, where), units, f"{where}.quota")


def check_changes(request: CommitmentRequest, offers: Offers) -> None:
    """Check that all changes are of resources that are offered, and can be written. Raises: MalformedError."""
    for project, by_resource in request.by_project.items():
        for name, changes in by_resource.items():
            where = f"byProject[{project!a}].byResource[{name!a}]"
            offer = _offer(name, offers, where)
            if not offer.takes_commitments and any(each.stays for each in changes.commitments):
                raise MalformedError(where, "its class takes no commitments, see GET v1/info")
            for at, each in enumerate(changes.commitments):
                _check_units(offer, each.amount, f"{where}.commitments[{at}].amount")


def _offer(name: str, offers: Offers, where: str) -> Offer:
    if name not in offers.by_name:
        raise MalformedError(where, "there is no such resource, see GET v1/info")
    return offers.by_name[name]


def _check_units(offer: Offer, units: int, where: str) -> None:
    if units > offer.most:
        raise MalformedError(where, f"expected at most {offer.most}: Kubernetes has no larger quantity of it")


def is_project(written: str) -> bool:
    """Whether *written* may be the id of a project."""
    return _PROJECT.fullmatch(written) is not None


def _changes(value: object, where: str) -> ResourceChanges:
    if isinstance(value, dict) and value.get("commitments", ()) is None:
        value = {**value, "commitments": []}
    found = _converted(value, ResourceChanges, where)
    sums = {name: getattr(found, name) for name in found.__struct_fields__ if name.startswith("total")}
    for name, amount in sums.items():
        _units(amount, f"{where}.{_camel(name)}", least=0)
    commitments = tuple(_change(each, f"{where}.commitments[{at}]") for at, each in enumerate(found.commitments))
    for state, before, after in (
        (State.CONFIRMED, "total_confirmed_before", "total_confirmed_after"),
        (State.GUARANTEED, "total_guaranteed_before", "total_guaranteed_after"),
    ):
        gone = sum(each.amount for each in commitments if each.old_status is state)
        come = sum(each.amount for each in commitments if each.new_status is state)
        if sums[before] + come != sums[after] + gone:
            why = f"{sums[before]} before, {come} more and {gone} less of the commitments listed do not make"
            raise MalformedError(f"{where}.{_camel(after)}", f"{why} {sums[after]}")
    return msgspec.structs.replace(found, commitments=commitments)


def _change(each: CommitmentChange, where: str) -> CommitmentChange:
    if not _UUID.fullmatch(each.uuid):
        raise MalformedError(f"{where}.uuid", "expected 6 to 40 letters, digits and hyphens")
    _units(each.amount, f"{where}.amount", least=1)
    if each.old_status is None and each.new_status is None:
        raise MalformedError(f"{where}.newStatus", "expected a status here or in oldStatus")
    moments = {
        name: _in_utc(moment, f"{where}.{_camel(name)}")
        for name in ("confirm_by", "expires_at", "old_expires_at")
        if (moment := getattr(each, name)) is not None
    }
    found = msgspec.structs.replace(each, **moments)
    if found.confirm_by is not None and found.expires_at <= found.confirm_by:
        raise MalformedError(f"{where}.expiresAt", "it ends before it begins: expected a time later than confirmBy")
    return found


def _check_uuids(request: CommitmentRequest) -> None:
    """Check that each commitment is named once, or twice if it moves from one project to another."""
    found: defaultdict[str, list[tuple[str, CommitmentChange]]] = defaultdict(list)
    for project, _, each in request.every():
        found[each.uuid].append((project, each))
    for uuid, named in found.items():
        if len(named) == 1:
            continue
        projects = Counter(project for project, _ in named)
        come = [each for _, each in named if each.old_status is None]
        gone = [each for _, each in named if each.new_status is None]
        if len(named) != 2 or len(projects) != 2 or len(come) != 1 or len(gone) != 1:
            why = "it is named more than once, and does not move from one project to another"
            raise MalformedError(f"byProject: commitment {uuid}", why)


def _check_metadata(document: object, project: str, where: str) -> None:
    metadata = _converted(document, _WithMetadata, where).project_metadata
    if metadata is not None and metadata.uuid != project:
        raise MalformedError(f"{where}.projectMetadata.uuid".removeprefix("."), "expected the id that stands before it")


def _check_zone(zone: str, where: str) -> None:
    if zone in NO_ZONES or len(zone) > _LONGEST_ZONE:
        raise MalformedError(where, "expected the name of a zone")


def _units(number: int, where: str, *, least: int) -> int:
    if not least <= number <= MOST:
        raise MalformedError(where, f"expected a number from {least} to {MOST}")
    return number


def _in_utc(moment: datetime, where: str) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:  # an hour before the first year
        raise MalformedError(where, "expected a time between the years 1 and 9999") from error


def _document(body: bytes) -> object:
    try:
        text = body.decode()
        found = _decoder.decode(text)
        if _ESCAPED.search(text):
            json.dumps(found, ensure_ascii=False).encode()
    except UnicodeDecodeError as error:
        raise MalformedError("", f"no UTF-8 at byte {error.start}") from error
    except UnicodeEncodeError as error:
        raise MalformedError("", "half of a surrogate pair is no character") from error
    except RecursionError as error:
        raise MalformedError("", "nested too deeply") from error
    except ValueError as error:
        raise MalformedError("", f"no JSON: {error}") from error
    return found


def _object(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(name for name, number in Counter(name for name, _ in pairs).items() if number > 1)
        raise MalformedError(ascii(twice), "it is given twice in one object")
    return found


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is no number of JSON")


_decoder: Final = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_refuse)


def _converted(value: object, shape: type[T], where: str) -> T:
    try:
        return msgspec.convert(value, shape)
    except msgspec.ValidationError as error:
        why, _, path = str(error).partition(" - at `$")
        raise MalformedError(f"{where}{path.rstrip('`')}".removeprefix("."), why) from error


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(each.capitalize() for each in others)
