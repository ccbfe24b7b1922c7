"""The part of a policy that programs write."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from webhook.documents.kept_policy import KeptPolicy, KeptPolicyError, kept_text, read_kept
from webhook.documents.policy_text import PolicyText, read_policy
from webhook.quota.commitments import Commitment, Pool, State
from webhook.quota.policy import Unlimited
from webhook.quota.quantity import NANOS
from webhook.quota.subject import group, namespace, tenant, user
from webhook.quota.transfer_offer import TransferOffer

NOW = datetime(2026, 12, 1, 12, 30, tzinfo=UTC)
H100 = Pool("h100", "eu-1a")
DIGEST = f"sha256:{'0e' * 32}"
KEPT = KeptPolicy(
    {
        each.name: each
        for each in (
            Commitment("c-2", tenant("research"), H100, {"gpu": 8 * NANOS, "requests.memory": 2**40 * NANOS}),
            Commitment("c-1", user("o\u2019hara: #1"), Pool("a100"), {"requests.cpu": NANOS // 2}, State.PENDING, NOW),
            Commitment("c-3", user("system:serviceaccount:ci:bot"), H100, {"gpu": NANOS}, State.EXPIRED, None, NOW),
            Commitment("c-4", group("ml"), H100, {"gpu": NANOS}, State.GUARANTEED, NOW, NOW.replace(year=2028)),
            Commitment("c-5", namespace("red"), H100, {"requests.nvidia.com/gpu": NANOS}, offer=TransferOffer(DIGEST)),
            Commitment("c-6", user("o"), H100, {"gpu": NANOS}, offer=TransferOffer(DIGEST.replace("0", "1"), NOW)),
        )
    },
    {"research": {"h100": {"gpu": 8 * NANOS, "requests.cpu": Unlimited.UNLIMITED}}, "ads": {"a100": {"gpu": 0}}},
)
TEXT = """\
# Written by userquota: comments are lost with the next change. See docs/commitments.md.
version: 1
commitments:
  "c-1": {"user":"o\u2019hara: #1","nodeClass":"a100","amounts":{"cpu":"500m"},"state":"pending","from":"2026-12-01T12:30:00Z"}
  "c-2": {"tenant":"research","nodeClass":"h100","zone":"eu-1a","amounts":{"gpu":"8","memory":"1Ti"},"state":"confirmed"}
  "c-3": {"serviceAccount":"ci/bot","nodeClass":"h100","zone":"eu-1a","amounts":{"gpu":"1"},"state":"expired","until":"2026-12-01T12:30:00Z"}
  "c-4": {"group":"ml","nodeClass":"h100","zone":"eu-1a","amounts":{"gpu":"1"},"state":"guaranteed","from":"2026-12-01T12:30:00Z","until":"2028-12-01T12:30:00Z"}
  "c-5": {"namespace":"red","nodeClass":"h100","zone":"eu-1a","amounts":{"requests.nvidia.com/gpu":"1"},"state":"confirmed","offer":{"tokenDigest":"DIGEST-0"}}
  "c-6": {"user":"o","nodeClass":"h100","zone":"eu-1a","amounts":{"gpu":"1"},"state":"confirmed","offer":{"tokenDigest":"DIGEST-1","until":"2026-12-01T12:30:00Z"}}
brokerQuotas:
  "ads": {"a100":{"gpu":"0"}}
  "research": {"h100":{"gpu":"8","cpu":"unlimited"}}
""".replace("DIGEST-0", DIGEST).replace("DIGEST-1", DIGEST.replace("0", "1"))  # noqa: E501


def without_places(kept: KeptPolicy) -> KeptPolicy:
    return KeptPolicy({name: replace(each, place="") for name, each in kept.commitments.items()}, kept.quotas)


def test_what_is_written_is_read_as_the_same() -> None:
    assert kept_text(KEPT) == TEXT
    found = read_kept(TEXT, source="kept")
    assert without_places(found) == KEPT
    assert found.commitments["c-4"].place == "kept:7"


def test_nothing_is_a_policy_that_promises_nothing() -> None:
    text = kept_text(KeptPolicy())
    assert read_kept(text, source="kept") == KeptPolicy()
    assert read_policy([PolicyText("kept", text)]).mistakes == ()


def test_a_policy_reads_it_as_it_was_written() -> None:
    around = (
        "version: 1\nnodeClasses: {h100: {nodes: {matchLabels: {a: b}}}, a100: {nodes: {matchLabels: {a: c}}}}\n"
        "groups: {ml: {}}\nserviceAccounts: {ci/bot: {}}\n"
        "tenants: {research: {namespaces: {matchLabels: {t: r}}}, ads: {namespaces: {matchLabels: {t: a}}}}\n"
    )
    reading = read_policy([PolicyText("admins", around), PolicyText("kept", TEXT)])
    assert reading.policy is not None, reading.mistakes
    found = {each.name: each for each in reading.policy.commitments.every}
    assert without_places(KeptPolicy(found)).commitments == KEPT.commitments


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("version: 1\nusers: {a: {hard: {cpu: 1}}}\n", "kept:2:1: users: only commitments and brokerQuotas stand in"),
        ("version: 1\ncommitments: {a: {user: b}}\n", "kept:2:18: commitments.a.nodeClass: this field is required"),
        (
            "version: 1\ncommitments: {a: {user: b, nodeClass: c, units: 3}}\n",
            "kept:2:49: commitments.a.units: userquota writes amounts, and no units",
        ),
        ("version: 1\n---\nversion: 1\n", "expected one document, not 2"),
        ("", "expected one document, not 0"),
        ("version: [\n", "kept:"),
    ],
)
def test_what_no_program_has_written_is_told(text: str, why: str) -> None:
    with pytest.raises(KeptPolicyError) as caught:
        read_kept(text, source="kept")
    assert why in str(caught.value)
