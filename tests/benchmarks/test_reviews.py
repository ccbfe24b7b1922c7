"""The generated reviews are what an API server sends: the webhook reads them, allows them, and no two are the same."""

from __future__ import annotations

import json
import re

import pytest

from benchmarks import build, pods, reviews
from benchmarks.contestants import POLICY
from tests.admission.asking import Webhook
from webhook.admission import review
from webhook.kinds import pod_cost
from webhook.kinds.pod_shapes import Pod
from webhook.kube.reflector.events import Decoder, Modified, Undecodable
from webhook.quota import resources

KILOBYTES = {"s": 3.6, "m": 9.0, "l": 22.0}
SAMPLE = (0, 1, 2, 49_999, 50_000, 1_234_567)


@pytest.mark.parametrize("size", pods.SIZES)
@pytest.mark.parametrize("number", SAMPLE)
async def test_a_stamped_review_is_allowed_and_charged(size: str, number: int) -> None:
    webhook = Webhook(POLICY.read_text())
    request = review.decode(reviews.render(reviews.templates(size, stamped=True), number))

    answer = await webhook.validate(request)

    assert (answer["allowed"], answer["uid"]) == (True, request.uid)
    assert answer["auditAnnotations"]["owner"] == request.user_info.username
    assert sum(1 for _ in webhook.index.reservations()) == 1


@pytest.mark.parametrize("size", pods.SIZES)
async def test_an_unstamped_review_is_patched_to_what_a_stamped_one_says(size: str) -> None:
    webhook = Webhook(POLICY.read_text())
    body = reviews.render(reviews.templates(size, stamped=False), 7)

    answer = await webhook.ask(json.loads(body))

    stamped = json.loads(reviews.render(reviews.templates(size, stamped=True), 7))
    annotations = stamped["request"]["object"]["metadata"]["annotations"]
    assert answer.stamp == {key: value for key, value in annotations.items() if key.startswith("userquota.dev/")}


@pytest.mark.parametrize("size", pods.SIZES)
def test_reviews_have_the_size_that_the_table_says(size: str) -> None:
    for stamped in (True, False):
        body = reviews.render(reviews.templates(size, stamped=stamped), 3)
        assert len(body) / 1000 == pytest.approx(KILOBYTES[size], rel=0.15)


def test_every_review_has_its_own_uid_and_names_come_round() -> None:
    several = reviews.templates("s", stamped=True)
    requests = [review.decode(reviews.render(several, number, names=100, users=10)) for number in range(200)]

    assert len({request.uid for request in requests}) == 200
    assert len({request.decode(Pod).metadata.uid for request in requests}) == 200
    assert len({(request.namespace, request.name) for request in requests}) == 100
    assert len({request.user_info.username for request in requests}) == 10


def test_pods_ask_for_many_different_amounts() -> None:
    several = reviews.templates("m", stamped=True)
    asked = {pod_cost.amounts_of(review.decode(each).decode(Pod)) for each in several}

    assert len(asked) == len(several) == 64


def test_no_mark_is_left() -> None:
    templates = [*reviews.templates("l", stamped=True), *reviews.stored_pods()]

    assert not any(b"@" in reviews.fill(each, 5, name=6, user=7) for each in templates)


def test_the_load_client_knows_the_same_marks() -> None:
    source = (build.MODULE / "load" / "template.go").read_text()
    marks = re.search(r"var marks = .*{(.*)}", source)
    assert marks is not None

    assert json.loads(f"[{marks[1]}]") == [pods.REQUEST, pods.NAME, pods.USER, pods.TEAM]
    assert re.search(rf"stride += {reviews._STRIDE}\n", source)
    assert {len(mark) for mark in json.loads(f"[{marks[1]}]")} == {10}


def test_lists_and_events_are_read_as_pods() -> None:
    stored, decoder = reviews.stored_pods(), Decoder(Pod)

    listed = decoder.page(reviews.page(stored, range(100, 105), users=3, version=900)).items
    event = decoder.event(reviews.event(stored, 102, users=3, version=901))

    assert isinstance(event, Modified)
    assert [each.metadata.uid[-6:] for each in listed if not isinstance(each, Undecodable)] == [
        f"{number:06}" for number in range(100, 105)
    ]
    known = listed[2]
    assert not isinstance(known, Undecodable)
    assert event.object.metadata.uid == known.metadata.uid
    assert int(event.object.metadata.resource_version) > int(known.metadata.resource_version)
    assert resources.show_list(pod_cost.amounts_of(event.object)) == resources.show_list(pod_cost.amounts_of(known))
