"""The quotas of the fullest subjects in the metrics of a replica."""

from __future__ import annotations

import asyncio
import re

import pytest

from tests.fakes import FakeClock
from tests.view.scenes import LABELS, NOW, cost, put, reserve, scene
from webhook.documents.policy_text import PolicyText
from webhook.policy_source import CurrentPolicy
from webhook.ports import READY, Condition
from webhook.quota.policy import accounts_under
from webhook.quota.subject import Payer
from webhook.serving.metrics import Metrics
from webhook.wiring.quota_metrics import ACCOUNTS_A_STEP, PERIOD, QuotaMetrics

LIMITED = "version: 1\ndefaults: {user: {hard: {cpu: 4, pods: 10}}}\n"


class EndError(Exception):
    """Ends a loop that has none."""


class Stage:
    """A replica that shows at most *most* subjects; a test says what it knows."""

    def __init__(self, most: int, *, policy: str = LIMITED) -> None:
        self.scene = scene()
        index = self.scene.usage
        self.policy = CurrentPolicy(
            on_change=lambda new: index.rebind(accounts_under(new, self.labels), new.devices),
            on_mistakes=lambda _: None,
        )
        if policy:
            self.policy.take([PolicyText("userquota-policy/policy.yaml", policy)])
        self.metrics = Metrics(dict)
        self.condition = READY
        self.slept: list[float] = []
        self.quotas = QuotaMetrics(
            self.policy,
            index,
            self.labels,
            self.metrics,
            FakeClock(NOW),
            most,
            conditions=[lambda: READY, lambda: self.condition],
            sleep=self.sleep,
        )

    def labels(self, name: str) -> dict[str, str]:
        return dict(LABELS.get(name, {}))

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        raise EndError

    def shown(self) -> set[str]:
        """The subjects in a scrape."""
        return set(re.findall(r'subject="([^"]*)"', self.metrics.render().decode()))


async def test_a_walk_shows_what_objects_and_reservations_were_found() -> None:
    stage = Stage(5)
    put(stage.scene, "a", Payer("alice"), cost(1))
    reserve(stage.scene, "b", Payer("bob"), cost(1))
    assert stage.shown() == set()

    with pytest.raises(EndError):
        await stage.quotas.run()

    assert stage.shown() == {"alice", "bob"}
    assert stage.slept == [PERIOD]


async def test_nobody_is_shown_without_the_switch_and_no_walk_is_made() -> None:
    stage = Stage(0)
    put(stage.scene, "a", Payer("alice"), cost(1))

    await stage.quotas.run()

    assert (stage.shown(), stage.slept) == (set(), [])


async def test_nobody_is_shown_while_something_is_not_known() -> None:
    stage = Stage(5)
    put(stage.scene, "a", Payer("alice"), cost(1))
    await stage.quotas.once()
    stage.condition = Condition(ok=False, reason="not-synced", message="the pods are not all known yet")

    await stage.quotas.once()

    assert "userquota_quota" not in stage.metrics.render().decode()


async def test_nobody_is_shown_before_there_is_a_policy() -> None:
    stage = Stage(5, policy="")
    put(stage.scene, "a", Payer("alice"), cost(1))

    await stage.quotas.once()

    assert "userquota_quota" not in stage.metrics.render().decode()


@pytest.mark.slow
async def test_of_very_many_made_up_names_as_many_are_shown_as_were_asked_for_and_reviews_are_answered_meanwhile() -> (
    None
):
    """`benchmarks/scrape.py` does it with a million."""
    stage, names = Stage(100), 30_000
    for number in range(names):
        put(stage.scene, f"p-{number}", Payer(f"nobody-{number}"), cost(1 + number % 3))
    turns = 0

    async def answer() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    answering = asyncio.create_task(answer())
    await asyncio.sleep(0)
    await stage.quotas.once()
    answering.cancel()
    text = stage.metrics.render().decode()

    assert len(stage.shown()) == 100
    assert text.count("userquota_quota{") == 100 * 2 * 2
    assert f"userquota_quota_subjects_omitted {names - 100}.0" in text
    assert turns >= 2 * names // ACCOUNTS_A_STEP  # the accounts are walked twice
