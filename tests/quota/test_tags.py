"""The labels that a policy names: what is read of those of an object."""

from __future__ import annotations

import msgspec
import pytest
from msgspec import Raw

from webhook.quota.objects import NOTHING, LabelledMeta
from webhook.quota.tags import Tagging, Tags

KEYS = ("example.com/team", "cost-center")

READ: dict[str, Tags] = {
    '{"app": "web"}': (),
    '{"app": "web", "cost-center": "7"}': (("cost-center", "7"),),
    '{"cost-center": "7", "example.com/team": "ml", "app": "x"}': (("example.com/team", "ml"), ("cost-center", "7")),
    '{"cost-center": ""}': (("cost-center", ""),),
    '{"cost-center": null}': (),
    "{}": (),
    "null": (),
    "": (),
    "[]": (),
    '{"cost-center": 7}': (),
    '{"cost-center": "\\ud800"}': (),
}


@pytest.mark.parametrize(("labels", "tags"), READ.items())
def test_the_labels_that_are_named_are_read_in_the_order_of_the_policy(labels: str, tags: Tags) -> None:
    assert Tagging(KEYS).of(Raw(labels.encode())) == tags


def test_by_default_none_is_read() -> None:
    assert Tagging().of(Raw(b'{"cost-center": "7"}')) == ()


def test_others_are_read_once_a_policy_names_others() -> None:
    tagging, labels = Tagging(), Raw(b'{"cost-center": "7", "app": "x"}')
    first = tagging.generation

    assert not tagging.read_by([])
    assert tagging.generation == first
    assert tagging.read_by(["app"])
    assert (tagging.of(labels), tagging.generation) == ((("app", "x"),), first + 1)
    assert tagging.read_by([])
    assert (tagging.of(labels), tagging.generation) == ((), first + 2)


def test_metadata_without_labels_has_none() -> None:
    meta = msgspec.json.decode(b'{"name": "a"}', type=LabelledMeta)
    assert meta.labels == NOTHING
    assert Tagging(KEYS).of(meta.labels) == ()
