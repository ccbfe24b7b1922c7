"""`userquota get --drift` on a ledger that replicas have grants in."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from webhook.cli import inspection
from webhook.ledger.protocol import Grant, Ledger
from webhook.quota.demand import LimitKey
from webhook.quota.subject import CLUSTER, user
from webhook.settings import Settings
from webhook.wiring.inspection import Inspection

ROOM = {LimitKey(user("alice"), "requests.cpu"): 16 * 10**9, LimitKey(CLUSTER, "pods"): 48 * 10**9}
LEDGER = replace(Ledger.first("epoch").opened({}), grants={"t": Grant("4f2a-f5", ("pods",), ROOM)})


@pytest.fixture(autouse=True)
def granted(monkeypatch: pytest.MonkeyPatch) -> None:
    async def found(_: Settings) -> Inspection:
        return Inspection("ok", LEDGER, (), {})

    monkeypatch.setattr(inspection, "inspect_ledger", found)


def test_a_table_says_what_each_replica_was_granted(capsys: pytest.CaptureFixture[str]) -> None:
    inspection.inspect(Settings(), unattributed=False, output="table")

    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["4f2a-f5", "user/alice", "requests.cpu", "16"] in rows
    assert ["4f2a-f5", "cluster", "pods", "48"] in rows


def test_so_does_a_document(capsys: pytest.CaptureFixture[str]) -> None:
    inspection.inspect(Settings(), unattributed=False, output="json")

    assert json.loads(capsys.readouterr().out)["grants"] == [
        {"grantedTo": "4f2a-f5", "subject": "user/alice", "resource": "requests.cpu", "amount": "16"},
        {"grantedTo": "4f2a-f5", "subject": "cluster", "resource": "pods", "amount": "48"},
    ]
