"""The check of LIQUID: what it asks, what it takes for a failure, and that it leaves nothing behind."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.liquid.scenes import classes
from webhook.liquid.changes import changed
from webhook.liquid.info import Json, service_info
from webhook.liquid.offers import offers_of
from webhook.liquid.requests import read_changes
from webhook.liquid.selfcheck import CheckError, SelfCheck
from webhook.quota.commitments import Commitment

NOW = datetime(2026, 12, 1, tzinfo=UTC)
OFFERS = offers_of(classes())


class Service:
    """Answers as userquota does; `refuse` says why changes are refused, `fail` whether a request fails."""

    def __init__(self) -> None:
        self.commitments: dict[str, Commitment] = {}
        self.most = 0
        self.refuse: Callable[[dict[str, Commitment]], str] = lambda _: ""
        self.fail: Callable[[str, Json | None], bool] = lambda _, __: False
        self.report = {"infoVersion": 7, "resources": {name: {"perAZ": {"a": {"usage": 1}}} for name in OFFERS.by_name}}

    async def ask(self, path: str, body: Json | None = None) -> Any:
        if self.fail(path, body):
            raise CheckError(f"{path}: 503")
        if body is None:
            return json.loads(json.dumps({"version": 7, **service_info(OFFERS, {})}))
        if not path.endswith("change-commitments"):
            return self.report
        request = read_changes(json.dumps(body).encode())
        after = changed(self.commitments, request, OFFERS, {"p-1": "research"})
        if reason := self.refuse(after):
            return {"rejectionReason": reason}
        if not request.is_dry_run:
            self.commitments = after
            self.most = max(self.most, len(after))
        return {}


async def run(service: Service) -> list[str]:
    numbers = itertools.count(1)
    check = SelfCheck(service, project="p-1", zone="a", now=NOW, new_uuid=lambda: f"selfcheck-{next(numbers)}")
    return [f"{name}: {told}" async for name, told in check.run()]


async def test_it_tries_everything_and_leaves_nothing() -> None:
    service = Service()
    assert await run(service) == [
        "info: version 7, h100_cpu and plain_cpu take commitments",
        "capacity: h100_cpu in a: usage 1",
        "usage: h100_cpu in a: usage 1",
        "dry run: accepted",
        "round trip: accepted",
        "pending: accepted",
        "batch: accepted",
        "cleaning up: nothing is left",
    ]
    assert (service.commitments, service.most) == ({}, 2)


async def test_a_refusal_for_want_of_room_is_no_failure() -> None:
    service = Service()
    service.refuse = lambda after: (
        "nodes are full" if any(each.state.value == "confirmed" for each in after.values()) else ""
    )
    told = await run(service)
    assert told[4:7] == [
        "round trip: refused, which may be: nodes are full",
        "pending: accepted",
        "batch: refused, which may be: nodes are full",
    ]
    assert service.commitments == {}


@pytest.mark.parametrize("failing", [2, 3])
async def test_what_was_made_is_taken_away_when_a_later_step_fails(failing: int) -> None:
    service = Service()
    seen = itertools.count(1)

    def fail(path: str, body: Json | None) -> bool:
        return path.endswith("change-commitments") and body is not None and next(seen) == failing

    service.fail = fail
    with pytest.raises(CheckError, match="v1/change-commitments: 503"):
        await run(service)
    assert service.commitments == {}


@pytest.mark.parametrize(
    ("report", "why"),
    [
        ({"infoVersion": 6, "resources": {}}, "v1/report-capacity: it is of version 6, the info of 7"),
        ({"infoVersion": 7, "resources": {}}, "v1/report-capacity: nothing on h100_cpu in a"),
    ],
)
async def test_a_report_that_does_not_match_is_a_failure(report: Any, why: str) -> None:
    service = Service()
    service.report = report
    with pytest.raises(CheckError, match=why):
        await run(service)


async def test_what_cannot_be_taken_away_is_told_and_holds_back_no_other() -> None:
    service = Service()
    service.fail = lambda _, body: (
        body is not None and '"newStatus": null' in json.dumps(body) and "check-1" in str(body)
    )
    with pytest.raises(CheckError, match="selfcheck-1 is left behind, for five minutes: v1/change-commitments: 503"):
        await run(service)
    assert list(service.commitments) == ["selfcheck-1"]
