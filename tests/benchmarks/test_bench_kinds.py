"""The reviews of each kind are what an API server sends, and the limits that they are measured with bind."""

from __future__ import annotations

import pytest

from benchmarks import claims, kinds, reviews, sessions
from tests.admission.asking import Webhook
from webhook.admission import review
from webhook.kube.reflector.events import Decoder, Undecodable

CREATES = kinds.creates()
SORTS = (claims.VOLUMES, claims.DEVICES, claims.CHOICES)
BINDING = {
    "pods": ("pods: 100", "pods: 0"),
    "persistentvolumeclaims": ("requests.storage: 100Ti", "requests.storage: 0"),
    "resourceclaims.resource.k8s.io, one request": ("gpu: 1000", "gpu: 0"),
    "resourceclaims.resource.k8s.io, two requests, one a choice": ("gpu: 1000", "gpu: 0"),
    "a kind that is charged by number": ("count/widgets.example.com: 100", "count/widgets.example.com: 0"),
    "a session with such a pod": ("perSession: {cpu: 64", "perSession: {cpu: 0"),
}


def webhook(policy: str) -> Webhook:
    return Webhook(policy, kinds=sessions.WITH_NOTEBOOKS)


@pytest.mark.parametrize("what", CREATES)
async def test_a_create_is_allowed_and_charged(what: str) -> None:
    asked = webhook(kinds.POLICY.read_text())

    for number, template in enumerate(CREATES[what]):
        body = reviews.fill(template, number, name=number, user=number)
        answer = await asked.validate(review.decode(body))

        assert b"@" not in body
        assert answer["allowed"], answer

    assert asked.index.pending_count == len(CREATES[what])


@pytest.mark.parametrize(("what", "limit"), BINDING.items(), ids=BINDING)
async def test_its_limits_bind(what: str, limit: tuple[str, str]) -> None:
    policy = kinds.POLICY.read_text()
    written, lowered = limit
    assert written in policy
    asked = webhook(policy.replace(written, lowered, 1))

    answer = await asked.validate(review.decode(reviews.fill(CREATES[what][0], 1, name=1, user=1)))

    assert not answer["allowed"]


@pytest.mark.parametrize("sort", SORTS, ids=lambda sort: sort.name)
def test_a_stored_object_is_read_and_costs_what_it_cost(sort: claims.Sort) -> None:
    created = [review.decode(each).decode(sort.kind.shape) for each in reviews.creates(sort.kind, sort.variants())]
    page = reviews.page(
        reviews.encoded(sort.variants(stored=True)), range(len(created)), users=3, version=900, kind=sort.kind
    )
    listed = Decoder(sort.kind.shape).page(page).items
    usage = sort.kind.evaluator.usage

    readable = [each for each in listed if not isinstance(each, Undecodable)]
    assert [usage(each, now=None) for each in readable] == [usage(each, now=None) for each in created]
    assert all(each.metadata.annotations is not None for each in readable)
    assert page.startswith(b'{"kind":"%bList"' % sort.kind.kind.encode())
