"""What a denial says, and what it leaves out. `messages.yaml` has the whole text of each form."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from msgspec import structs

from webhook.quota import message
from webhook.quota.decision import Denied, Excess, Lack
from webhook.quota.fitting import Fitting, Room
from webhook.quota.limits import ONE_OBJECT, Limit
from webhook.quota.message import Added, Cause, Context
from webhook.quota.policy import Mode
from webhook.quota.quantity import NANOS, parse
from webhook.quota.resources import Amount
from webhook.quota.subject import Subject, group, user

HERS = user("alice")


def over(
    resource: str,
    *,
    requested: str,
    hard: str,
    used: str = "0",
    reserved: str = "0",
    fits: str = "0",
    entry: str = "users.alice",
    subject: Subject = HERS,
) -> Excess:
    limit = Limit(subject, resource, parse(hard).nanos, entry)
    asked, taken, held, most = (parse(each).nanos for each in (requested, used, reserved, fits))
    return Excess(limit, asked, taken, held, most)


def over_cap(resource: str, *, requested: str, hard: str, entry: str = "defaults.user.perPod") -> Excess:
    most = parse(hard).nanos
    return Excess(Limit(ONE_OBJECT, resource, most, entry, cap="perPod"), parse(requested).nanos, 0, 0, most)


HER_CONTEXT = Context("alice", "created it")


def sentence(excesses: Sequence[Excess], lacks: Sequence[Lack] = (), **context: Any) -> str:
    return message.sentence(excesses, lacks, HER_CONTEXT._replace(**context))


CPU = over("requests.cpu", requested="2", used="3", reserved="500m", hard="4", fits="500m")
MEMORY = over("requests.memory", requested="2Gi", used="7Gi", hard="8Gi", fits="1Gi")
LARGE = over("requests.memory", requested="9Gi", used="1Gi", hard="8Gi", fits="7Gi")
POOL = over("requests.cpu", requested="2", used="16", hard="16", fits="0", entry="groups.ml.pool", subject=group("ml"))
PODS = over("pods", requested="1", used="20", hard="20", entry="defaults.user")
CAP = over_cap("requests.cpu", requested="2001m", hard="2")


def test_the_first_clause_matches_a_parser_of_resourcequota_denials() -> None:
    text = sentence([CPU, POOL])
    found = re.match(r"exceeded quota: (\S+), requested: (\S+), used: (\S+), limited: ([^\s,]\S*?),? ", text)
    assert found is not None
    assert found.groups() == ("users.alice", "requests.cpu=2", "requests.cpu=3", "requests.cpu=4")


def test_the_sums_of_a_clause_add_up() -> None:
    """Users check that free is limited minus used minus reserved."""
    used, reserved, free, hard = (CPU.used, CPU.reserved, CPU.free, CPU.rule.hard)
    assert used + reserved + free == hard
    assert CPU.requested > free


@pytest.mark.parametrize(
    ("excesses", "expected"),
    [
        pytest.param([CPU], "requests.cpu=500m", id="what one limit leaves"),
        pytest.param([CAP, CPU], "requests.cpu=500m", id="the least of several for one resource"),
        pytest.param([CPU, CAP], "requests.cpu=500m", id="in either order"),
        pytest.param([MEMORY, CPU], "requests.cpu=500m,requests.memory=1Gi", id="by name, whatever the order"),
        pytest.param(
            [PODS, replace(over("count/pods", requested="1", used="25", hard="25"), ended=5 * NANOS)],
            "nothing until a pod is deleted: delete finished pods (5 of 25 no longer run)",
            id="a deletion makes room under both limits",
        ),
        pytest.param(
            [over("gold.storageclass.storage.k8s.io/persistentvolumeclaims", requested="1", used="9", hard="9")],
            "nothing until a claim is deleted",
            id="claims of one StorageClass",
        ),
        pytest.param(
            [CAP, PODS], "nothing until a pod ends, and never more than requests.cpu=2", id="too large, and no place"
        ),
        pytest.param(
            [LARGE, CAP, over("count/pods", requested="1", used="5", hard="5")],
            "nothing until a pod is deleted (those that have ended count, too), "
            "and never more than requests.cpu=2,requests.memory=8Gi",
            id="the whole limit, however much of it is free now",
        ),
        pytest.param(
            [CAP, over("pods", requested="1", reserved="5", hard="5")],
            "nothing now, and never more than requests.cpu=2",
            id="too large, and all places are held by requests under way",
        ),
        pytest.param(
            [over("sessions", requested="1", used="2", hard="2"), over("pods", requested="5", used="3", hard="3")],
            "nothing until a session ends, and never more than pods=3",
            id="no place for a session that needs more pods than it may have",
        ),
        pytest.param(
            [PODS, CAP, over("pods", requested="1", hard="0", entry="groups.ml.pool", subject=group("ml"))],
            "nothing",
            id="one limit of several forbids it",
        ),
        pytest.param(
            [over("pods", requested="1", reserved="5", hard="5"), PODS],
            "nothing until a pod ends",
            id="requests under way do not help where pods have all places of another limit",
        ),
        pytest.param([], "", id="nothing to say"),
    ],
)
def test_what_would_fit(excesses: Sequence[Excess], expected: str) -> None:
    assert message.would_fit(excesses, HER_CONTEXT) == expected


def room(resource: str, each: str, hard: str, *, number: int = 1, own: str = "0", **limit: Any) -> Room:
    amounts = (parse(text).nanos for text in (each, hard, own))
    of_one, most, owned = amounts
    return Room(Limit(HERS, resource, most, "users.alice", **limit), of_one, number, 0, owned, 0, 0)


LARGEST: dict[str, tuple[list[Room], str | None, str]] = {
    "no limit": ([], None, ""),
    "the least of a resource": (
        [room("requests.cpu", "1", "4"), room("requests.cpu", "1", "3")],
        None,
        "requests.cpu=3",
    ),
    "with what it has": ([room("requests.cpu", "1", "4", own="1")], None, "requests.cpu=5"),
    "not under one that only warns": (
        [room("requests.cpu", "1", "4"), room("requests.cpu", "1", "3", mode=Mode.WARN)],
        None,
        "requests.cpu=4",
    ),
    "no place": ([room("pods", "1", "0"), room("requests.cpu", "1", "3")], None, "nothing"),
    "a place is no amount": ([room("pods", "1", "9"), room("requests.cpu", "1", "3")], None, "requests.cpu=3"),
    "copies": ([room("pods", "1", "9"), room("requests.cpu", "2", "7")], "replicas", "3 replicas"),
    "a cap under which each copy fits": ([room("requests.cpu", "2", "7", cap="perPod")], "replicas", ""),
    "a cap under which none does": ([room("requests.cpu", "2", "1", cap="perPod")], "replicas", "0 replicas"),
}


@pytest.mark.parametrize(("rooms", "noun", "expected"), LARGEST.values(), ids=LARGEST.keys())
def test_the_largest_that_fits(rooms: list[Room], noun: str | None, expected: str) -> None:
    assert message.largest(rooms, noun) == expected


def test_what_would_fit_is_told_in_the_unit_that_the_client_wrote() -> None:
    context = HER_CONTEXT._replace(units={"requests.memory": "Mi"})
    assert message.would_fit([MEMORY], context) == "requests.memory=1024Mi"


def test_what_others_have_added_is_told_and_no_room_for_the_client() -> None:
    added = Added(("istio-proxy", "logger"), {"requests.cpu": parse("150m").nanos, "requests.memory": 0, "pods": 0})
    assert sentence([CPU, MEMORY], added=added).endswith(
        "would fit: requests.cpu=350m,requests.memory=1Gi; "
        "istio-proxy,logger, added to what was sent, asks for requests.cpu=150m more; charged to alice (created it)"
    )
    more_than_fits = Added(("istio-proxy",), {"requests.cpu": parse("1").nanos})
    assert "would fit: requests.cpu=0; " in sentence([CPU], added=more_than_fits)
    assert "istio" not in sentence([MEMORY], added=more_than_fits)


def test_each_sentence_of_the_admins_is_told_once_before_the_payer() -> None:
    cpu, memory, pool = (
        replace(each, rule=structs.replace(each.rule, hint=hint))
        for each, hint in ((CPU, "ask in #quota"), (MEMORY, "ask in #quota"), (POOL, "see https://wiki.test/ml"))
    )
    told = "; ask in #quota; see https://wiki.test/ml; charged to alice"
    assert sentence([cpu, memory, pool]).endswith(f"{told} (created it)")
    assert sentence([pool], [Lack(cpu.rule, ("main",))]).endswith(f"{told} (created it)")
    fitting = Fitting(5, 3, (cpu, pool), cpu)
    assert message.workload_sentence(fitting, Denied((cpu, pool)), noun="replicas", owner="alice").endswith(told)


def test_what_would_fit_of_an_object_that_exists_is_told_in_all() -> None:
    resized = replace(CPU, requested=parse("2").nanos, fits=parse("3500m").nanos, had=parse("3").nanos)
    assert message.would_fit([resized], HER_CONTEXT) == "requests.cpu=3500m in all (now requests.cpu=3)"


def test_programs_get_one_cause_for_each_limit_with_its_clause() -> None:
    assert message.causes([CPU]) == (
        Cause(
            "QuotaExceeded",
            "exceeded quota: users.alice, requested: requests.cpu=2, used: requests.cpu=3, limited: requests.cpu=4, "
            "reserved: requests.cpu=500m, free: requests.cpu=500m for user/alice",
            "requests.cpu",
        ),
    )
    assert message.causes([CPU, CAP]) == (
        Cause(
            "NeverFits",
            "larger than quota: defaults.user.perPod, requested: requests.cpu=2001m, limited: requests.cpu=2 "
            "for one pod",
            "requests.cpu",
        ),
        Cause(
            "QuotaExceeded",
            "also over quota: users.alice, requested: requests.cpu=2, used: requests.cpu=3, limited: requests.cpu=4, "
            "reserved: requests.cpu=500m, free: requests.cpu=500m for user/alice",
            "requests.cpu",
        ),
    )
    assert message.causes([]) == ()


def waits(text: str) -> bool:
    """Return whether Argo Workflows, Tekton and Airflow ask again later after a 403 with this text."""
    return "exceeded quota" in text


LACK = Lack(Limit(HERS, "requests.cpu", parse("4").nanos, "users.alice"), ("main",))


@pytest.mark.parametrize(
    ("excesses", "lacking", "expected"),
    [
        pytest.param([CPU, POOL, PODS], [], True, id="everything fits once others end"),
        pytest.param([CPU, CAP], [], False, id="one pod may not be that large"),
        pytest.param([LARGE, CPU], [], False, id="the limit is not that large"),
        pytest.param([CPU], [LACK], False, id="what is missing does not come by itself"),
        pytest.param([over("gpu", requested="1", hard="0")], [], False, id="it is forbidden"),
    ],
)
def test_programs_wait_if_and_only_if_that_helps(
    excesses: Sequence[Excess], lacking: Sequence[Lack], *, expected: bool
) -> None:
    """Some programs look at the whole body of the answer, so that the causes count as well as the text."""
    assert waits(sentence(excesses, lacking)) is expected
    causes = message.causes(excesses, lacking)
    assert any(waits(each.message) for each in causes) is expected
    assert all(each.reason == "QuotaExceeded" for each in causes) is expected


def test_a_share_of_a_device_is_shown_as_a_fraction() -> None:
    share: Amount = Fraction(3 * 10**9, 7)
    excess = Excess(Limit(HERS, "gpu", 0, "users.alice"), share, 0, 0, 0)
    assert message.warning(excess) == "over quota users.alice: gpu requested 3/7, free 0 of 0"
