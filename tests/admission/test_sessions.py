"""Sessions in the request path: those that are older than their preset, and those that cannot be read."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.sessions import WITH_NOTEBOOKS
from tests.admission.asking import Json, Webhook, a_review, stamped

POLICY = """\
version: 1
sessions: {presets: [kubeflow-notebook]}
defaults: {user: {hard: {sessions: 1, cpu: 2}}}
"""
STOPPED = {"kubeflow-resource-stopped": "now"}


def notebook(cpu: str = "1", *, annotations: dict[str, str] | None = None, **metadata: object) -> Json:
    containers = [{"name": "n", "resources": {"requests": {"cpu": cpu}}}]
    known = {"name": "n", "namespace": "red", "uid": "u", "resourceVersion": "5", "annotations": annotations or {}}
    return {
        "apiVersion": "kubeflow.org/v1",
        "kind": "Notebook",
        "metadata": {**known, **metadata},
        "spec": {"template": {"spec": {"containers": containers}}},
    }


def changed(old: Json, new: Json, **request: Any) -> Json:
    return a_review("notebooks.kubeflow.org", "UPDATE", object=new, oldObject=old, name="n", **request)


def webhook() -> Webhook:
    return Webhook(POLICY, kinds=WITH_NOTEBOOKS)


async def test_a_label_on_an_older_session_is_its_own_matter() -> None:
    answer = await webhook().ask(changed(notebook(), notebook(labels={"colour": "red"})))
    assert answer.allowed
    assert answer.stamp == {}


@pytest.mark.parametrize(
    ("old", "new"),
    [(notebook(annotations=STOPPED), notebook()), (notebook("1"), notebook("1500m"))],
    ids=["starts it", "makes it larger"],
)
async def test_who_raises_an_older_session_pays_for_it(old: Json, new: Json) -> None:
    answer = await webhook().ask(changed(old, new))
    assert answer.allowed
    assert answer.stamp["userquota.dev/owner"] == "alice"


async def test_and_has_to_have_the_room() -> None:
    answer = await webhook().ask(changed(notebook(annotations=STOPPED), notebook("3")))
    assert not answer.allowed
    assert "requested: requests.cpu=3" in answer.message


async def test_a_version_that_no_preset_knows_is_no_way_past_the_limits() -> None:
    """The API server serves an object in every version of its kind, so that what is stored and what is asked match."""
    other = {"apiVersion": "kubeflow.org/v9"}
    old, larger = (stamped({**notebook(cpu), **other}) for cpu in ("1", "99"))
    stopped, started = (stamped({**notebook(annotations=each), **other}) for each in (STOPPED, {}))
    for before, after in ((old, larger), (stopped, started)):
        answer = await webhook().ask(changed(before, after))
        assert answer.message.startswith("cannot be charged: apiVersion: ")


async def test_one_that_cannot_be_read_is_judged_when_it_is_mended() -> None:
    bad, large = stamped(notebook("much")), stamped(notebook("3"))
    assert "requested: requests.cpu=3" in (await webhook().ask(changed(bad, large))).message
    other_mistake = stamped(notebook("more"))
    assert (await webhook().ask(changed(bad, other_mistake))).message.startswith("cannot be charged: spec.")


async def test_one_that_cannot_be_read_can_be_changed_and_mended_and_not_made() -> None:
    bad = stamped(notebook("much"))
    assert (await webhook().ask(changed(bad, stamped(notebook("much", labels={"colour": "red"}))))).allowed
    assert (await webhook().ask(changed(bad, stamped(notebook("1"))))).allowed
    assert not (await webhook().ask(changed(stamped(notebook("1")), bad))).allowed
    made = await webhook().ask(a_review("notebooks.kubeflow.org", object=notebook("much"), name="n"))
    assert made.message.startswith("cannot be charged: spec.template.spec.containers[0].resources.requests.cpu")
