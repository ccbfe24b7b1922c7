"""
Thousands of random claims cost exactly what Kubernetes' own evaluator charges for them.

USERQUOTA_RANDOM_CLAIMS sets how many. That the claims differ in what they cost is tested beside the examples.
"""

import json
import os

import msgspec
import pytest

from tests.oracle.claim_examples import CLAIMS as EXAMPLES
from tests.oracle.program import Amount as Answered
from tests.oracle.program import Oracle
from tests.oracle.random_claims import RandomClaims
from webhook.kinds.claims import PERSISTENT_VOLUME_CLAIMS, PersistentVolumeClaim
from webhook.quota.resources import Amount

pytestmark = pytest.mark.cluster

SEED = 411
CLAIMS = int(os.environ.get("USERQUOTA_RANDOM_CLAIMS", "6000"))


def test_a_claim_costs_what_resourcequota_charges(oracle: Oracle) -> None:
    source = RandomClaims(SEED)
    texts = [json.dumps(source.claim(), ensure_ascii=False) for _ in range(CLAIMS)]
    texts += [json.dumps(example.claim, ensure_ascii=False) for example in EXAMPLES.values()]
    answers = oracle.volume_claim_charges(texts)

    pairs = [(text, charged(text), nanos(answer["asStored"])) for text, answer in zip(texts, answers, strict=True)]
    different = [each for each in pairs if each[1] != each[2]]

    assert not different, f"{len(different)} of {CLAIMS}: {different[0]}"


def nanos(usage: dict[str, Answered]) -> dict[str, Amount]:
    return {name: int(amount["nanos"]) for name, amount in usage.items() if amount["nanos"] != "0"}


def charged(text: str) -> dict[str, Amount]:
    claim = msgspec.json.decode(text, type=PersistentVolumeClaim)
    return dict(PERSISTENT_VOLUME_CLAIMS.evaluator.usage(claim, now=None))
