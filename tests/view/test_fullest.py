"""Which subjects are the fullest, and which of their limits are shown."""

from __future__ import annotations

from tests.view.scenes import cost, put, reserve, scene
from webhook.quota.quantity import NANOS
from webhook.quota.subject import Account, Payer
from webhook.view.fullest import Fullest
from webhook.view.standings import Scene

ALICE, BOB, CAROL = Payer("alice", ("ml",)), Payer("bob"), Payer("carol")
BEST_EFFORT = ("BestEffort",)


def shown(of: Scene, most: int, *noted: tuple[Account, str]) -> tuple[list[str], int]:
    """Return each limit as `subject selector resource used/hard`, in whole units, and how many subjects are omitted."""
    fullest = Fullest(of, most)
    for account, namespace in noted:
        fullest.note(account, namespace)
    fullest.choose()
    for account, namespace in fullest.noted:
        fullest.take(account, namespace)
    found = fullest.result()
    rows = [
        " ".join(
            filter(None, (each.subject, each.selector, each.resource, f"{each.used // NANOS}/{each.hard // NANOS}"))
        )
        for each in found.limits
    ]
    return rows, found.omitted


def red(*payers: Payer) -> list[tuple[Account, str]]:
    return [(Account(each), "red") for each in payers]


def test_the_nearest_to_any_of_its_limits_is_shown_with_all_of_them() -> None:
    made = scene("defaults: {user: {hard: {cpu: 10, pods: 4, gpu: 0}}}")
    put(made, "a", ALICE, cost(5))
    put(made, "b", BOB, cost(1))
    put(made, "c", BOB, cost(1))
    put(made, "d", BOB, cost(1))
    put(made, "e", CAROL, cost(7))

    assert shown(made, 1, *red(ALICE, BOB, CAROL)) == (
        ["user/bob gpu 0/0", "user/bob pods 3/4", "user/bob requests.cpu 3/10"],
        2,
    )


def test_what_is_in_flight_makes_fuller_and_is_not_shown_as_used() -> None:
    made = scene("defaults: {user: {hard: {cpu: 10}}}")
    put(made, "a", ALICE, cost(4))
    put(made, "b", BOB, cost(3))
    reserve(made, "c", BOB, cost(2))

    assert shown(made, 1, *red(ALICE, BOB)) == (["user/bob requests.cpu 3/10"], 1)


def test_what_is_used_beyond_a_limit_of_nothing_is_the_fullest() -> None:
    made = scene("defaults: {user: {hard: {cpu: 10}}}\nusers: {bob: {hard: {cpu: 0}}}")
    put(made, "a", ALICE, cost(10))
    put(made, "b", BOB, cost(1))

    assert shown(made, 1, *red(ALICE, BOB)) == (["user/bob requests.cpu 1/0"], 1)


def test_shared_limits_are_shown_once_with_the_use_of_all() -> None:
    made = scene(
        "groups: {ml: {pool: {hard: {cpu: 9}}}}\ncluster: {hard: {cpu: 100}}\nnamespaces: {red: {hard: {cpu: 20}}}"
    )
    put(made, "a", ALICE, cost(5))
    put(made, "b", Payer("dan", ("ml",)), cost(2))

    assert shown(made, 9, *red(ALICE, Payer("dan", ("ml",)))) == (
        ["cluster requests.cpu 7/100", "group/ml requests.cpu 7/9", "namespace/red requests.cpu 7/20"],
        0,
    )


def test_who_uses_nothing_any_more_is_neither_shown_nor_omitted() -> None:
    made = scene("defaults: {user: {hard: {cpu: 10}}}")
    put(made, "a", ALICE, cost(1))

    assert shown(made, 9, *red(ALICE, BOB)) == (["user/alice requests.cpu 1/10"], 0)


def test_of_two_limits_on_the_same_the_lower_that_refuses_is_shown() -> None:
    made = scene(
        "combine: most-restrictive\nusers: {alice: {hard: {cpu: 8}}}\n"
        "groups:\n  ml: {perMember: {hard: {cpu: 6}}}\n  lab: {perMember: {hard: {cpu: 5}, mode: warn}}"
    )
    payer = Payer("alice", ("lab", "ml"))
    put(made, "a", payer, cost(4))

    assert shown(made, 1, *red(payer)) == (["user/alice requests.cpu 4/6"], 0)


def test_a_limit_of_a_person_that_binds_only_in_a_group_is_found_whichever_account_comes_first() -> None:
    made = scene(
        "defaults: {user: {hard: {cpu: 10}}}\ngroups: {ml: {perMember: {hard: {cpu: 6}}}}\ncombine: most-restrictive"
    )
    put(made, "a", ALICE, cost(1))
    put(made, "b", Payer("alice"), cost(1))

    for accounts in (red(ALICE, Payer("alice")), red(Payer("alice"), ALICE)):
        assert shown(made, 1, *accounts) == (["user/alice requests.cpu 2/6"], 0)


def test_what_a_selector_selects_is_shown_beside_the_whole() -> None:
    made = scene("defaults: {user: {hard: {pods: 10}, scoped: [{scopes: [BestEffort], hard: {pods: 2}}]}}")
    put(made, "a", ALICE, cost(0), scopes=BEST_EFFORT)
    put(made, "b", ALICE, cost(1))

    accounts = [(Account(ALICE), "red"), (Account(ALICE, BEST_EFFORT), "red")]
    assert shown(made, 1, *accounts) == (["user/alice BestEffort pods 1/2", "user/alice pods 2/10"], 0)
