"""What a broker changes reaches the stored policy, as a whole or not at all."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fakes import FakeKeptPolicyStore
from tests.liquid.scenes import changeset, classes, commitment, request
from webhook.documents.kept_policy import KeptPolicyError, PolicyRefusedError
from webhook.liquid.offers import offers_of
from webhook.liquid.ports import Decision
from webhook.liquid.requests import RefusedError, read_changes
from webhook.ports import UnavailableError
from webhook.quota.quantity import NANOS
from webhook.wiring.broker import WrittenCommitments, WrittenQuotas

OFFERS = offers_of(classes())
UUID = "2f4b7f06-51d5-4ca4-8f3f-6a5ef58b7f01"
REFUSAL = "more would be promised than nodes have: h100 in a: gpu 12, 8 there. To do it all the same, say why"


async def changed(store: FakeKeptPolicyStore, by_project: Any = None, **others: Any) -> Decision:
    asked = read_changes(request(by_project, **others))
    return await WrittenCommitments(store).change(asked, OFFERS, {"p-1": "research"})


async def test_changes_are_stored_once_and_again_after_that_of_another_one() -> None:
    store = FakeKeptPolicyStore(conflicts=2)
    assert await changed(store) == Decision()
    assert store.stored.content.commitments[UUID].amounts == {"gpu": 10 * NANOS}
    assert store.writes == 3
    assert await changed(store) == Decision()
    assert store.writes == 3


async def test_a_dry_run_is_judged_and_changes_nothing() -> None:
    store = FakeKeptPolicyStore()
    assert await changed(store, dryRun=True) == Decision()
    assert (store.dry_runs, store.writes, store.stored.content.commitments) == (1, 0, {})


@pytest.mark.parametrize("is_dry_run", [False, True])
async def test_a_question_is_rejected_with_the_reason_and_no_advice_for_admins(is_dry_run: bool) -> None:
    store = FakeKeptPolicyStore()
    store.refusal = PolicyRefusedError(REFUSAL)
    decision = await changed(store, dryRun=is_dry_run)
    assert decision.rejected == "more would be promised than nodes have: h100 in a: gpu 12, 8 there"


async def test_what_only_tells_is_an_error_if_it_cannot_be_stored() -> None:
    """A broker does not read the rejection of what it did not ask."""
    store = FakeKeptPolicyStore()
    store.refusal = PolicyRefusedError("a mistake in another text")
    planned = {"p-1": {"byResource": {"h100_gpu": changeset(commitment(newStatus="planned"), confirmed=(0, 0))}}}
    with pytest.raises(UnavailableError, match="the changes cannot be stored: a mistake in another text"):
        await changed(store, planned)


async def test_what_is_stored_and_cannot_be_read_is_not_written_over() -> None:
    store = FakeKeptPolicyStore()
    store.error = KeptPolicyError("userquota-commitments/commitments.yaml:2:1: users")
    with pytest.raises(UnavailableError, match="what is stored cannot be read: userquota-commitments"):
        await changed(store)
    with pytest.raises(UnavailableError, match="what is stored cannot be read"):
        await WrittenQuotas(store).of("research", OFFERS)
    assert store.writes == 0


async def test_others_who_write_all_the_time_are_told() -> None:
    store = FakeKeptPolicyStore(conflicts=99)
    with pytest.raises(UnavailableError, match="others write all the time"):
        await changed(store)


async def test_quotas_are_kept_by_tenant_and_class_and_told_in_units() -> None:
    store = FakeKeptPolicyStore()
    quotas = WrittenQuotas(store)
    assert await quotas.of("research", OFFERS) == {}
    await quotas.put("research", {"h100_gpu": 4, "h100_memory": 1024}, OFFERS)
    await quotas.put("research", {"h100_gpu": 0, "plain_cpu": 2**63 - 1}, OFFERS)
    assert await quotas.of("research", OFFERS) == {"h100_gpu": 0, "h100_memory": 1024, "plain_cpu": 2**63 - 1}
    assert await quotas.of("ads", OFFERS) == {}
    assert store.stored.content.quotas["research"]["h100"]["requests.memory"] == 2**30 * NANOS
    await quotas.put("research", {}, OFFERS)
    assert store.writes == 2


async def test_a_quota_below_what_is_used_is_refused() -> None:
    store = FakeKeptPolicyStore()
    store.refusal = PolicyRefusedError("a limit would be below what is used: gpu. To do it all the same, say why")
    with pytest.raises(RefusedError, match=r"^a limit would be below what is used: gpu$"):
        await WrittenQuotas(store).put("research", {"h100_gpu": 1}, OFFERS)


async def test_nothing_is_stored_while_nobody_judges_edits() -> None:
    """The API server stores what no replica has judged while none answers: nodes may not have it."""
    store = FakeKeptPolicyStore()
    store.is_judged = False
    with pytest.raises(UnavailableError, match="no replica of userquota judges edits"):
        await changed(store)
    with pytest.raises(UnavailableError, match="no replica of userquota judges edits"):
        await WrittenQuotas(store).put("research", {"h100_gpu": 1}, OFFERS)
    assert store.writes == 0
