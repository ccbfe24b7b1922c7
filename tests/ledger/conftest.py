"""One ledger, and two replicas that have read it."""

from __future__ import annotations

import pytest

from tests.fakes import FakeLedgerObject
from tests.ledger.sharing import Replica


@pytest.fixture
def stored_in() -> FakeLedgerObject:
    return FakeLedgerObject()


@pytest.fixture
async def replica(stored_in: FakeLedgerObject) -> Replica:
    """One that has read the ledger, which is its own first one."""
    replica = Replica(stored_in)
    await replica.stored_ledger.read()
    return replica


@pytest.fixture
async def other(replica: Replica) -> Replica:
    """Another one that has read the same."""
    other = Replica(replica.stored_in, "b")
    await other.stored_ledger.read()
    return other
