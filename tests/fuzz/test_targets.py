"""Every reader of what others write, over the kept corpus and some mutations of it; `make fuzz` tries millions."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from fuzz import kept
from fuzz.mutation import Mutator, words_of
from fuzz.target import CORPUS, BrokenPromiseError, Target, promise
from fuzz.targets import TARGETS, edits, named, reviews
from fuzz.targets.worlds import TellingLedger, silence
from webhook.admission import review
from webhook.admission.review import AdmissionRequest, AdmissionResponse
from webhook.ports import Decide
from webhook.quota.decision import Decision
from webhook.quota.reservation import Charge
from webhook.serving.replies import Replies

ROOT = Path(__file__).parent.parent.parent
MOST_BYTES = 400_000
"""Of the whole corpus: it is read by every run of the tests."""


@pytest.fixture(autouse=True)
def silent() -> Iterator[None]:
    silence()
    yield
    structlog.reset_defaults()


def try_mutations(target: Target, *, seed: int = 1) -> None:
    """Give *target* its inputs and its number of mutations of them."""
    inputs = target.inputs()
    mutator = Mutator(words_of(inputs), seed=seed, longest=target.longest)
    for each in inputs:
        target.check(each)
    for _ in range(target.mutations):
        target.check(mutator.mutated(mutator.random.choice(inputs), mutator.random.choice(inputs)))


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS, ids=[each.name for each in TARGETS])
def test_whatever_it_is_given_it_keeps_its_promise(target: Target) -> None:
    try_mutations(target)


# The harness itself: what it has to find.


def _refuses_no_utf8(data: bytes) -> None:
    data.decode()


def _hangs_on_depth(data: bytes) -> None:
    promise(data.count(b"[") < 50, "too deep")


def _takes_duplicates(data: bytes) -> None:
    promise(data.count(b'"uid"') < 2, "given twice")


def _loses_nan(data: bytes) -> None:
    promise(b"NaN" not in data, "no number")


def _trusts_digits(data: bytes) -> None:
    promise(re.search(rb"[0-9]{300}", data) is None, "too many digits")


def _takes_halves(data: bytes) -> None:
    promise(rb"\ud800" not in data, "half of a surrogate pair")


PLANTED = (_refuses_no_utf8, _hangs_on_depth, _takes_duplicates, _loses_nan, _trusts_digits, _takes_halves)


@pytest.mark.parametrize("reader", PLANTED, ids=[each.__name__.strip("_") for each in PLANTED])
def test_a_fault_that_is_planted_is_found(reader: object) -> None:
    target = Target("planted", "", "", reader, ("tests/admission/reviews/pod-created-by-alice.json",))  # type: ignore[arg-type]

    with pytest.raises((UnicodeDecodeError, BrokenPromiseError)):
        try_mutations(target)


REVIEW = ROOT / "tests/admission/reviews/pod-created-by-alice.json"


class SilentLedger(TellingLedger):
    """Decides, and tells nobody: as if the webhook had not asked."""

    async def transact(self, charge: Charge, decide: Decide, *, dry_run: bool, deadline: float) -> Decision:
        decision = await super().transact(charge, decide, dry_run=dry_run, deadline=deadline)
        self.decided.clear()
        return decision


class BrokenLedger(TellingLedger):
    async def transact(self, charge: Charge, decide: Decide, *, dry_run: bool, deadline: float) -> Decision:  # noqa: ARG002
        raise KeyError("a defect")


def test_a_webhook_that_allows_what_it_did_not_decide_is_found() -> None:
    with pytest.raises(BrokenPromiseError, match="allowed and not decided"):
        reviews.check_in(reviews.World(SilentLedger), REVIEW.read_bytes())


def test_a_defect_behind_an_answer_is_found() -> None:
    with pytest.raises(KeyError, match="a defect"):
        reviews.check_in(reviews.World(BrokenLedger), REVIEW.read_bytes())


def test_an_edit_with_a_mistake_that_is_allowed_is_found() -> None:
    async def allow(request: AdmissionRequest, _: float) -> AdmissionResponse:
        return review.allowed(request.uid)

    world = edits.World()
    world.replies = Replies({"/policy": allow}, world.meter)
    mistaken = {
        "metadata": {"name": "q", "labels": {"userquota.dev/policy": "true"}},
        "data": {"policy.yaml": "version: 1\nusers: {dora: {hard: {cpu: 1K}}}"},
    }
    request = {"uid": "u", "operation": "CREATE", "namespace": edits.NAMESPACE, "userInfo": {}, "object": mistaken}
    request["resource"] = {"resource": "configmaps", "version": "v1"}
    body = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}

    with pytest.raises(BrokenPromiseError, match="a policy with mistakes is stored"):
        edits.check_in(world, json.dumps(body).encode())


def test_the_same_seed_draws_the_same_mutations() -> None:
    def drawn(seed: int) -> list[bytes]:
        mutator = Mutator((b"cpu",), seed=seed, longest=400)
        return [mutator.mutated(b'{"a": [1, "x"]}', b"b: 2\n") for _ in range(200)]

    assert drawn(7) == drawn(7)
    assert drawn(7) != drawn(8)
    assert max(map(len, drawn(7))) <= 400


# The corpus.


def test_the_corpus_is_small_and_belongs_to_the_targets() -> None:
    assert {each.name for each in CORPUS.iterdir()} == {each.name for each in TARGETS}
    assert kept.size(TARGETS) < MOST_BYTES


def test_what_reaches_nothing_new_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "CORPUS", tmp_path / "corpus")
    target = Target("a-new-one", "", "", named("quantity").check)
    found = tmp_path / "found"
    found.mkdir()
    for number, text in enumerate((b"1", b"2", b"3Gi", b"5Gi")):
        (found / str(number)).write_bytes(text)

    kept.keep(target, found)

    assert sorted(path.read_bytes() for path in (tmp_path / "corpus" / "a-new-one").iterdir()) == [b"1", b"3Gi"]


# The document.


def test_each_target_has_its_row_in_the_document() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \| (.*?) \| (.*?) \|", (ROOT / "docs/fuzzing.md").read_text(), re.MULTILINE)

    assert rows == [(each.name, each.reader, each.promise) for each in TARGETS]
