"""The version of what a broker is told: one for all replicas, which only grows, and only where the content changes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from tests.fakes import FakeClock, FakeKeptPolicyStore
from webhook.documents.kept_policy import KeptPolicy, KeptPolicyError, PolicyRefusedError, StoredPolicy
from webhook.ports import UnavailableError
from webhook.quota.policy import Unlimited
from webhook.wiring.info_versions import DIGEST, VERSION, StoredVersions

NOW = datetime(2026, 11, 30, 9, tzinfo=UTC)
SECONDS = int(NOW.timestamp())
KEPT = KeptPolicy(quotas={"research": {"h100": {"gpu": Unlimited.UNLIMITED}}})


def store_of(annotations: Mapping[str, str] | None = None, *, conflicts: int = 0) -> FakeKeptPolicyStore:
    return FakeKeptPolicyStore(StoredPolicy(KEPT, annotations or {}, "1"), conflicts=conflicts)


def versions(store: FakeKeptPolicyStore) -> StoredVersions:
    return StoredVersions(store, FakeClock(NOW))


async def test_the_first_version_is_the_time_and_is_stored_beside_what_is_there() -> None:
    store = store_of({"other": "annotation"})

    assert await versions(store).version_of("a") == SECONDS
    assert store.stored == StoredPolicy(KEPT, {"other": "annotation", DIGEST: "a", VERSION: str(SECONDS)}, "2")


async def test_the_same_content_has_the_same_version_and_is_not_written() -> None:
    store = store_of({DIGEST: "a", VERSION: "17"})

    assert [await versions(store).version_of("a") for _ in range(2)] == [17, 17]
    assert store.writes == 0


@pytest.mark.parametrize(("stored", "following"), [(17, SECONDS), (SECONDS, SECONDS + 1), (SECONDS + 9, SECONDS + 10)])
async def test_other_content_has_a_larger_one(stored: int, following: int) -> None:
    store = store_of({DIGEST: "a", VERSION: str(stored)})

    assert await versions(store).version_of("b") == following
    assert await versions(store).version_of("a") == following + 1  # what was there before is a change as well


async def test_of_two_replicas_the_second_takes_the_version_of_the_first() -> None:
    store = store_of(conflicts=1)
    first = StoredPolicy(KEPT, {DIGEST: "a", VERSION: "99"}, "2")

    class Other(FakeKeptPolicyStore):
        async def read(self) -> StoredPolicy:
            return first if store.writes else store.stored

        write = store.write

    assert await StoredVersions(Other(), FakeClock(NOW)).version_of("a") == 99


async def test_one_whose_writes_never_win_says_so() -> None:
    store = store_of(conflicts=100)

    with pytest.raises(UnavailableError, match="others write all the time"):
        await versions(store).version_of("a")
    assert store.writes == 5


@pytest.mark.parametrize("error", [KeptPolicyError("no YAML"), PolicyRefusedError("a mistake")])
async def test_a_store_that_cannot_be_used_is_not_known_yet(error: Exception) -> None:
    store = store_of()
    store.error = error

    with pytest.raises(UnavailableError, match=f"the version of the info cannot be stored: {error}"):
        await versions(store).version_of("a")


@pytest.mark.parametrize("written", ["", "x", "-5", "1.5", "\u0661", "9" * 19])
async def test_a_version_that_is_no_number_is_replaced(written: str) -> None:
    store = store_of({DIGEST: "a", VERSION: written})

    assert await versions(store).version_of("a") == SECONDS
