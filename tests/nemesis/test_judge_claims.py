"""Planted faults with claims, each of which the judge has to find; and beside them what is right."""

from __future__ import annotations

from pathlib import Path

import pytest

from nemesis.findings import Invariant
from nemesis.judge import judge
from nemesis.records import CLAIMS, DEVICE_CLAIMS, MIB
from tests.nemesis.histories import Held, History, begun, held_claim, held_devices

I1, I2, I6 = Invariant.NO_OVER_ADMISSION, Invariant.DOMINANCE, Invariant.NO_FALSE_DENIAL

GOLD = "gold.storageclass.storage.k8s.io"


def limited(**hard: str) -> History:
    names = {"claims": CLAIMS, "gold": f"{GOLD}/requests.storage"}
    listed = ", ".join(f"{names.get(name, name)}: {amount}" for name, amount in hard.items())
    return begun(f"version: 1\ndefaults: {{user: {{hard: {{{listed}}}}}}}\n")


def found(history: History, folder: Path) -> list[Invariant]:
    return [each.invariant for each in judge(history.write_to(folder)).violations]


def reported(mib: int) -> str:
    """The size that a status of this workload reports."""
    return str(mib * MIB + 7)


# I1 of creates


def test_claims_within_all_limits_are_right(tmp_path: Path) -> None:
    history = limited(claims="2", storage="30Mi", gold="20Mi")
    history.admit_claim("a", "1", "20Mi", storage_class="gold")
    history.admit_claim("b", "2", "10Mi")
    history.delete_claim("a")
    history.admit_claim("c", "3", "20Mi", storage_class="gold")

    assert found(history, tmp_path) == []


@pytest.mark.parametrize("limit", ["claims", "storage", "gold"])
def test_a_claim_too_many_is_found_when_it_is_reserved_and_when_it_is_stored(tmp_path: Path, limit: str) -> None:
    hard = {"claims": "2", "storage": "30Mi", "gold": "30Mi"} | {limit: "1" if limit == "claims" else "20Mi"}
    history = limited(**hard)
    history.admit_claim("a", "1", "15Mi", storage_class="gold")
    history.admit_claim("b", "2", "15Mi", storage_class="gold")

    assert found(history, tmp_path) == [I1] * 2


def test_a_claim_that_is_being_deleted_makes_no_room(tmp_path: Path) -> None:
    history = limited(claims="1")
    history.admit_claim("a", "1", "15Mi")
    history.reserve(held_claim("t", "b", "2", "15Mi"))
    history.delete_claim("a")
    history.let_go("t", through=history.store_claim("b", "2", "15Mi"), kind=CLAIMS)

    assert found(history, tmp_path) == [I1]


def test_a_resourceclaim_too_many_is_found_beside_pods_with_gpus(tmp_path: Path) -> None:
    history = limited(gpu="3")
    history.reserve(Held("t1", "p", "1", amounts=(("pods", "1"), ("requests.nvidia.com/gpu", "1"))))
    history.let_go("t1", through=history.store("p", "1", device="nvidia.com/gpu", cpu="0"))
    history.admit_devices("a", "2", 2)
    assert found(history, tmp_path) == []

    history.admit_devices("b", "3", 1)
    assert found(history, tmp_path) == [I1] * 2


def test_shares_of_gpus_are_summed_exactly(tmp_path: Path) -> None:
    history = limited(gpu="1+6/7")
    for number in (1, 2):
        held = Held(f"t{number}", f"p{number}", str(number), amounts=(("requests.nvidia.com/mig-3g.20gb", "1"),))
        history.reserve(held)
        history.store(f"p{number}", str(number), device="nvidia.com/mig-3g.20gb", cpu="0")
    assert [each for each in found(history, tmp_path) if each is I1] == []

    history.reserve(held_devices("t3", "a", "3", 1))
    assert [each for each in found(history, tmp_path) if each is I1] == []

    history.reserve(held_devices("t4", "b", "4", 1))
    assert [each for each in found(history, tmp_path) if each is I1] == [I1]


# I1 of growth, and what a status reports


def test_a_growth_beyond_the_limit_is_found(tmp_path: Path) -> None:
    history = limited(storage="30Mi")
    first = history.admit_claim("a", "1", "20Mi")
    second = history.admit_claim("a", "1", "30Mi", base=first)
    assert found(history, tmp_path) == []

    history.admit_claim("a", "1", "31Mi", base=second)
    assert found(history, tmp_path) == [I1] * 2


def test_what_is_allocated_counts_until_a_shrink_is_real(tmp_path: Path) -> None:
    history = limited(storage="60Mi")
    first = history.admit_claim("a", "1", "40Mi")
    history.admit_claim("a", "1", "40Mi", allocated=reported(45), base=first)
    history.store_claim("a", "1", "10Mi", allocated=reported(45))
    history.admit_claim("b", "2", "20Mi")
    assert found(history, tmp_path) == [I1] * 2


def test_a_shrink_that_is_real_makes_room(tmp_path: Path) -> None:
    history = limited(storage="60Mi")
    history.admit_claim("a", "1", "40Mi")
    history.store_claim("a", "1", "10Mi")
    history.admit_claim("b", "2", "50Mi")
    assert found(history, tmp_path) == []


def test_a_status_may_exceed_a_limit(tmp_path: Path) -> None:
    history = limited(storage="30Mi")
    first = history.admit_claim("a", "1", "20Mi")
    history.admit_claim("a", "1", "20Mi", allocated=reported(50), base=first)
    history.store_claim("a", "1", "45Mi", allocated=reported(50))  # it grows within what counts already

    assert found(history, tmp_path) == []


def test_growth_beside_what_a_status_has_raised_is_found(tmp_path: Path) -> None:
    history = limited(storage="30Mi")
    first = history.admit_claim("a", "1", "20Mi")
    history.admit_claim("a", "1", "20Mi", allocated=reported(50), base=first)
    history.admit_claim("b", "2", "5Mi")

    assert found(history, tmp_path) == [I1] * 2


def test_a_claim_that_its_status_raised_may_not_grow_further(tmp_path: Path) -> None:
    history = limited(storage="30Mi")
    first = history.admit_claim("a", "1", "20Mi")
    second = history.admit_claim("a", "1", "20Mi", allocated=reported(50), base=first)
    history.reserve(held_claim("t", "a", "1", "60Mi", base=second))
    history.let_go("t", through=history.store_claim("a", "1", "60Mi", allocated=reported(50)), kind=CLAIMS)

    assert found(history, tmp_path) == [I1] * 2


@pytest.mark.parametrize(("is_report_first", "expected"), [(False, []), (True, [I1])])
def test_in_one_write_growth_is_judged_with_what_stands_before_it(
    tmp_path: Path, is_report_first: bool, expected: list[Invariant]
) -> None:
    history = limited(storage="30Mi")
    first = history.admit_claim("a", "1", "20Mi")
    report = held_claim("report", "a", "1", reported(50), base=first)
    growth = held_claim("growth", "b", "2", "5Mi")
    history.reserve(*((report, growth) if is_report_first else (growth, report)))
    history.wait(40)
    history.let_go("report", "growth")

    assert found(history, tmp_path) == expected


def test_what_was_decided_before_a_status_may_be_stored_after_it(tmp_path: Path) -> None:
    history = limited(storage="30Mi")
    first = history.admit_claim("a", "1", "20Mi")
    history.reserve(held_claim("growth", "b", "2", "10Mi"))
    history.admit_claim("a", "1", "20Mi", allocated=reported(50), base=first)
    history.let_go("growth", through=history.store_claim("b", "2", "10Mi"), kind=CLAIMS)

    assert found(history, tmp_path) == []


def test_what_a_status_adds_does_not_hide_another_excess(tmp_path: Path) -> None:
    history = limited(storage="30Mi")
    first = history.admit_claim("a", "1", "20Mi")
    history.reserve(held_claim("growth", "b", "2", "15Mi"))  # too much already
    history.admit_claim("a", "1", "20Mi", allocated=reported(50), base=first)
    history.let_go("growth", through=history.store_claim("b", "2", "15Mi"), kind=CLAIMS)

    assert found(history, tmp_path) == [I1] * 2


def test_a_reservation_that_can_never_be_stored_takes_nobodys_room(tmp_path: Path) -> None:
    history = limited(storage="30Mi")
    first = history.admit_claim("a", "1", "10Mi")
    history.reserve(held_claim("t", "a", "1", "30Mi", base=first))
    history.store_claim("a", "1", "5Mi")  # by another request, which is the one that replaces that version
    history.admit_claim("b", "2", "25Mi")
    history.let_go("t")

    assert found(history, tmp_path) == []


def test_a_create_that_was_stored_counts_as_it_is_now(tmp_path: Path) -> None:
    history = limited(storage="30Mi")
    history.reserve(held_claim("t", "a", "1", "30Mi"))
    history.store_claim("a", "1", "30Mi")
    stored = history.store_claim("a", "1", "5Mi")
    history.admit_claim("b", "2", "25Mi")
    history.let_go("t", through=stored, kind=CLAIMS)

    assert Invariant.NO_OVER_ADMISSION not in found(history, tmp_path)


# I2, I3


@pytest.mark.parametrize("kind", [CLAIMS, DEVICE_CLAIMS])
def test_a_claim_that_nobody_reserved_is_found(tmp_path: Path, kind: str) -> None:
    history = limited(pods="1")
    if kind == CLAIMS:
        history.store_claim("a", "1", "10Mi")
    else:
        history.store_devices("a", "1", 1)

    assert found(history, tmp_path) == [I2]


def test_a_growth_that_nobody_reserved_is_found_though_a_status_reported_less(tmp_path: Path) -> None:
    history = limited(storage="90Mi")
    first = history.admit_claim("a", "1", "20Mi")
    history.admit_claim("a", "1", "20Mi", allocated=reported(30), base=first)
    history.store_claim("a", "1", "40Mi", allocated=reported(30))

    assert found(history, tmp_path) == [I2]


def test_a_reservation_of_devices_that_counts_as_no_gpu_is_found(tmp_path: Path) -> None:
    history = limited(gpu="5")
    history.reserve(held_devices("t", "a", "1", 1, is_hidden_left_out=True))
    history.store_devices("a", "1", 1)

    assert I2 in found(history, tmp_path)


def test_what_was_settled_of_one_kind_says_nothing_of_another(tmp_path: Path) -> None:
    history = limited(claims="5")
    history.reserve(held_claim("t", "a", "1", "10Mi"))
    stored = history.store_claim("a", "1", "10Mi")
    history.let_go("t", through=stored)

    assert found(history, tmp_path) == [Invariant.NOTHING_LET_GO, I2]


def test_a_reservation_of_a_claim_that_is_let_go_too_soon_is_found(tmp_path: Path) -> None:
    history = limited(claims="5")
    history.reserve(held_claim("t", "a", "1", "10Mi"))
    history.wait(30)
    history.let_go("t")

    assert found(history, tmp_path) == [Invariant.NOTHING_LET_GO]


# I5 to I8


def refusal(resource: str, *, requested: str, used: str, limited: str) -> str:
    return (
        'admission webhook "validate.userquota.dev" denied the request: exceeded quota: defaults.user, '
        f"requested: {resource}={requested}, used: {resource}={used}, limited: {resource}={limited}, "
        f"reserved: {resource}=0, free: {resource}=0 for user/alice; would fit: nothing; charged to alice (created it)"
    )


@pytest.mark.parametrize(("used", "expected"), [("20Mi", []), ("21Mi", [Invariant.CONVERGENCE])])
def test_a_replica_that_counts_other_claims_than_the_api_at_rest_is_found(
    tmp_path: Path, used: str, expected: list[Invariant]
) -> None:
    history = limited(storage="30Mi")
    history.admit_claim("a", "1", "20Mi")
    message = refusal("requests.storage", requested="1Gi", used=used, limited="30Mi")
    history.request("probe", "dry-probe", status=403, message=message, kind=CLAIMS)

    assert found(history, tmp_path) == expected


@pytest.mark.parametrize(("used", "expected"), [("25Mi", []), ("30Mi", [I6])])
def test_a_refusal_of_storage_that_fits_is_found(tmp_path: Path, used: str, expected: list[Invariant]) -> None:
    history = limited(storage="30Mi")
    history.admit_claim("a", "1", "25Mi")
    if expected:
        history.store_claim("a", "1", "15Mi")
        history.wait(8)
    message = refusal("requests.storage", requested="10Mi", used=used, limited="30Mi")
    asked = {"requests.storage": str(10 * MIB)}
    history.request("create", "b", status=403, message=message, kind=CLAIMS, asked=asked)

    assert found(history, tmp_path) == expected


def test_a_refusal_for_a_share_of_a_gpu_is_understood(tmp_path: Path) -> None:
    history = limited(gpu="2")
    history.admit_devices("a", "1", 2)
    message = refusal("gpu", requested="3/7", used="2", limited="2")
    history.request("create", "p", status=403, message=message, asked={"gpu": "3/7"})
    assert found(history, tmp_path) == []

    message = refusal("gpu", requested="4/7", used="2", limited="2")
    history.request("create", "p", status=403, message=message, asked={"gpu": "3/7"})
    assert found(history, tmp_path) == [I6]


def test_a_reservation_of_a_dry_run_of_a_growth_is_found(tmp_path: Path) -> None:
    history = limited(storage="90Mi")
    first = history.admit_claim("a", "1", "20Mi")
    history.reserve(held_claim("t", "a", "1", str(30 * MIB + 3), base=first))
    history.wait(40)
    history.let_go("t")

    assert found(history, tmp_path) == [Invariant.DRY_RUN]


def test_a_claim_that_passed_without_a_decision_is_found(tmp_path: Path) -> None:
    history = limited(claims="5")
    history.audited(201, is_decided=True, kind=CLAIMS)
    history.audited(201, is_decided=False, kind=DEVICE_CLAIMS)

    assert found(history, tmp_path) == [Invariant.CLIENTS]


def test_a_history_that_misses_a_claim_is_found(tmp_path: Path) -> None:
    history = limited(claims="5")
    history.admit_claim("a", "1", "10Mi")
    history.claims.clear()

    assert found(history, tmp_path) == [Invariant.HISTORY]
