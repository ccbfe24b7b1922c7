"""
Tries LIQUID out as a broker would: what is offered, a commitment there and back, and several changed at once. Whatever
it has made it takes away again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Protocol

from webhook.liquid.info import Json
from webhook.quota.errors import WebhookError

_LIFETIME = timedelta(minutes=5)
"""If it cannot be taken away again, a commitment of the check ends by itself."""


class CheckError(WebhookError):
    """A step that was not answered as it should be."""


class Asking(Protocol):
    """Asks as a broker."""

    async def ask(self, path: str, body: Json | None = None) -> Any:
        """Return the answer to a POST of *body*, or to a GET without one. Raises: CheckError."""


class Step(NamedTuple):
    """A step that was answered, and what it told."""

    name: str
    told: str


class _Wanted(NamedTuple):
    """A change of one commitment: of `amount` units of a resource, from one status to another."""

    uuid: str
    resource: str
    amount: int
    old: str | None
    new: str | None


class SelfCheck:
    """One run, in a project and a zone; *new_uuid* returns an id that nobody else has, *now* is the time."""

    def __init__(self, asking: Asking, *, project: str, zone: str, now: datetime, new_uuid: Callable[[], str]) -> None:
        """Ask nothing yet."""
        self._asking = asking
        self._project = project
        self._zone = zone
        self._ends = (now + _LIFETIME).isoformat()
        self._new_uuid = new_uuid
        self._version = 0
        self._made: dict[str, _Wanted] = {}

    async def run(self) -> AsyncIterator[Step]:
        """Yield each step once it was answered. Raises: CheckError, once what it has made is taken away."""
        try:
            first, other = await self._info()
            yield Step("info", f"version {self._version}, {first} and {other} take commitments")
            yield Step("capacity", await self._reported("v1/report-capacity", first))
            yield Step("usage", await self._reported(f"v1/projects/{self._project}/report-usage", first))
            one, two = self._new_uuid(), self._new_uuid()
            new = _Wanted(one, first, 2, None, "confirmed")
            yield Step("dry run", await self._changed(new, dry_run=True))
            yield Step("round trip", await self._changed(new))
            await self._take_away()
            pending = _Wanted(one, first, 1, None, "pending")
            yield Step("pending", await self._changed(pending))
            batch = (pending._replace(old="pending", new="confirmed"), _Wanted(two, other, 1, None, "confirmed"))
            yield Step("batch", await self._changed(*batch))
        finally:
            await self._take_away()
        yield Step("cleaning up", "nothing is left")

    async def _info(self) -> tuple[str, str]:
        """Return two resources of which commitments are made, of two classes if there are; one twice if it is alone."""
        info = await self._asking.ask("v1/info")
        try:
            self._version = int(info["version"])
            found = {
                name: str(each.get("attributes", {}).get("nodeClass", name))
                for name, each in sorted(info["resources"].items())
                if each.get("handlesCommitments")
            }
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise CheckError(f"v1/info: the answer is of another form: {error!r}") from error
        if not found:
            raise CheckError("v1/info: no resource takes commitments: a policy with nodeClasses offers some")
        first = next(iter(found))
        others = (name for name in found if found[name] != found[first])
        return first, next(others, [*found][-1])

    async def _reported(self, path: str, resource: str) -> str:
        report = await self._asking.ask(path, {"allAZs": [self._zone]})
        if report.get("infoVersion") != self._version:
            raise CheckError(f"{path}: it is of version {report.get('infoVersion')}, the info of {self._version}")
        told = report.get("resources", {}).get(resource, {}).get("perAZ", {}).get(self._zone)
        if told is None:
            raise CheckError(f"{path}: nothing on {resource} in {self._zone}")
        numbers = (f"{name} {told[name]}" for name in ("capacity", "usage") if name in told)
        return f"{resource} in {self._zone}: {', '.join(numbers)}"

    async def _changed(self, *wanted: _Wanted, dry_run: bool = False) -> str:
        """Ask for changes; return that they were made, or why nodes have no room for them, which is no failure."""
        answer = await self._asking.ask("v1/change-commitments", self._request(wanted, dry_run=dry_run))
        if reason := answer.get("rejectionReason"):
            return f"refused, which may be: {reason}"
        if not dry_run:
            self._made |= {each.uuid: each for each in wanted if each.new is not None}
            for each in wanted:
                if each.new is None:
                    self._made.pop(each.uuid, None)
        return "accepted"

    async def _take_away(self) -> None:
        """Delete what was made, each by itself: one that cannot be deleted holds back no other. Raises: CheckError."""
        failed: CheckError | None = None
        for each in tuple(self._made.values()):
            try:
                await self._changed(each._replace(old=each.new, new=None))
            except CheckError as error:
                failed = CheckError(f"{each.uuid} is left behind, for five minutes: {error}")
        if failed is not None:
            raise failed

    def _request(self, wanted: tuple[_Wanted, ...], *, dry_run: bool) -> Json:
        by_resource: dict[str, Json] = {}
        for resource in dict.fromkeys(each.resource for each in wanted):
            changes = [each for each in wanted if each.resource == resource]
            before = sum(each.amount for each in changes if each.old == "confirmed")
            after = sum(each.amount for each in changes if each.new == "confirmed")
            by_resource[resource] = {
                "totalConfirmedBefore": before,
                "totalConfirmedAfter": after,
                "totalGuaranteedBefore": 0,
                "totalGuaranteedAfter": 0,
                "commitments": [self._commitment(each) for each in changes],
            }
        by_project = {self._project: {"byResource": by_resource}}
        return {"az": self._zone, "dryRun": dry_run, "infoVersion": self._version, "byProject": by_project}

    def _commitment(self, each: _Wanted) -> Mapping[str, object]:
        statuses = {"oldStatus": each.old, "newStatus": each.new}
        return {"uuid": each.uuid, **statuses, "amount": each.amount, "expiresAt": self._ends}
