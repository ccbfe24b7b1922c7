"""The examples of PersistentVolumeClaims say what Kubernetes charges, and the random ones differ in what they cost."""

import json
from dataclasses import dataclass
from typing import Any

import pytest

from tests.oracle.claim_examples import CLAIMS
from tests.oracle.program import Amount, Oracle
from tests.oracle.random_claims import RandomClaims

pytestmark = pytest.mark.cluster

SEED = 211
RANDOM = 3000
COUNTED = {"count/persistentvolumeclaims": "1", "persistentvolumeclaims": "1"}


@dataclass(frozen=True, slots=True)
class Answered:
    claim: dict[str, Any]
    sent: dict[str, int]
    stored: dict[str, int]


@pytest.fixture(scope="module")
def answered(oracle: Oracle) -> list[Answered]:
    source = RandomClaims(SEED)
    texts = [json.dumps(source.claim(), ensure_ascii=False) for _ in range(RANDOM)]
    return [
        Answered(json.loads(text), nanos(answer["asSent"]), nanos(answer["asStored"]))
        for text, answer in zip(texts, oracle.volume_claim_charges(texts), strict=True)
    ]


def test_the_examples_say_what_kubernetes_charges(oracle: Oracle) -> None:
    answers = oracle.volume_claim_charges(json.dumps(example.claim) for example in CLAIMS.values())
    stored = {
        name: {resource: amount["canonical"] for resource, amount in answer["asStored"].items()}
        for name, answer in zip(CLAIMS, answers, strict=True)
    }

    assert stored == {name: COUNTED | example.charged for name, example in CLAIMS.items()}


def test_random_claims_differ_in_what_they_cost(answered: list[Answered]) -> None:
    assert len({tuple(sorted(each.stored.items())) for each in answered}) > 0.3 * RANDOM
    assert {name for each in answered for name in each.stored} == {
        *COUNTED,
        "requests.storage",
        *(
            f"{name}.storageclass.storage.k8s.io/{resource}"
            for name in ("gold", "slow.example.com")
            for resource in ("persistentvolumeclaims", "requests.storage")
        ),
    }


def test_of_the_random_claims_many_have_more_allocated_than_they_ask_for_and_many_have_not(
    oracle: Oracle, answered: list[Answered]
) -> None:
    without = oracle.volume_claim_charges(
        json.dumps(each.claim | {"status": None}, ensure_ascii=False) for each in answered
    )
    more = sum(each.stored != nanos(answer["asStored"]) for each, answer in zip(answered, without, strict=True))
    allocated = sum("storage" in (allocated_to(each.claim) or {}) for each in answered)

    assert 0.05 * RANDOM < more < 0.7 * allocated


def test_parts_of_a_byte_change_what_many_random_claims_cost(answered: list[Answered]) -> None:
    asked = [storage_of(each.claim) for each in answered]

    assert sum(text is not None and str(text).endswith(("m", "u", "n")) for text in asked) > 0.03 * RANDOM
    assert all(amount % 10**9 == 0 for each in answered for amount in each.sent.values())


def test_the_defaults_of_the_api_server_change_nothing_in_what_a_claim_costs(answered: list[Answered]) -> None:
    """They round up to a thousandth; the evaluator rounds up to a byte, and compares with a whole number of bytes."""
    assert all(each.sent == each.stored for each in answered)


def nanos(usage: dict[str, Amount]) -> dict[str, int]:
    return {name: int(amount["nanos"]) for name, amount in usage.items()}


def allocated_to(claim: dict[str, Any]) -> Any:
    return (claim.get("status") or {}).get("allocatedResources")


def storage_of(claim: dict[str, Any]) -> Any:
    return ((claim["spec"].get("resources") or {}).get("requests") or {}).get("storage")
