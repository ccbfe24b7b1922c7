"""What a replica tells of its own namespace, which it watches with all others."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import structlog

from tests.fakes import FakeClock
from tests.kube.scripted import server
from webhook.kube.events import EventWriter
from webhook.kube.namespaces import LabelledMeta, Namespace
from webhook.settings import Settings
from webhook.wiring.watched_policy import WatchedPolicy

NAME_LABEL, LEVEL_LABEL = "kubernetes.io/metadata.name", "pod-security.kubernetes.io/enforce"
LABELS = {NAME_LABEL: "quotas", LEVEL_LABEL: "restricted"}


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[WatchedPolicy]:
    async def version() -> int:
        return 9

    async with server([], tmp_path) as (api, _):
        clock = FakeClock()
        events = EventWriter(api, namespace="quotas", clock=clock)
        settings = Settings(namespace="quotas")
        yield WatchedPolicy(api, settings, events, clock, on_policy=lambda _: None, store_version=version)


def told(watched: WatchedPolicy, *seen: dict[str, str], name: str = "quotas") -> list[str]:
    """Return the reasons that are logged while the watch shows a namespace with labels, one after the other."""
    with structlog.testing.capture_logs() as logged:
        for version, labels in enumerate(seen, 100):
            watched.labels.seen(Namespace(LabelledMeta(name, str(version), labels)))
        watched.labels.gone(Namespace(LabelledMeta(name, "900", {})))
    assert {each["event"] for each in logged} <= {"other labels than the manifests"}
    return [each["reason"] for each in logged]


async def test_the_labels_of_the_manifests_are_not_told(watched: WatchedPolicy) -> None:
    assert told(watched, LABELS, {**LABELS, "team": "platform"}) == []


async def test_other_labels_of_the_own_namespace_are_told_when_they_are_seen(watched: WatchedPolicy) -> None:
    missing = f"its label {LEVEL_LABEL} is missing, the manifests have restricted"
    baseline = f"its label {LEVEL_LABEL} has baseline, the manifests have restricted"
    assert told(watched, {NAME_LABEL: "quotas"}, {**LABELS, LEVEL_LABEL: "baseline"}, LABELS) == [missing, baseline]


async def test_a_namespace_that_is_not_exempt_is_told(watched: WatchedPolicy) -> None:
    reason = f"the label {NAME_LABEL} does not say quotas: the namespace is not exempt"
    assert told(watched, {**LABELS, NAME_LABEL: "others"}) == [reason]


async def test_those_of_other_namespaces_are_their_own(watched: WatchedPolicy) -> None:
    assert told(watched, {NAME_LABEL: "others"}, name="others") == []
