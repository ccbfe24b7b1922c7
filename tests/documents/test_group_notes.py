"""What `policy validate` says of groups that bind nobody, or only those who log in with them."""

from __future__ import annotations

import pytest

from webhook.documents.policy_text import PolicyText, read_policy
from webhook.quota.membership import GroupObjects, Membership


def notes(groups: str, defaults: str = "{user: {hard: {cpu: 4, pods: 10}}}", more: str = "") -> list[str]:
    text = f"version: 1\ndefaults: {defaults}\ngroups: {groups}\n{more}"
    found = read_policy([PolicyText("p", text)])
    assert found.policy is not None, found.mistakes
    return [str(each).removeprefix("p:3:14: groups.ml: ") for each in found.notes]


def lifted(names: str) -> list[str]:
    return [f"a login without this group lifts its limits on {names}; it binds those in members in any case"]


@pytest.mark.parametrize(
    ("ml", "expected"),
    [
        pytest.param("{perMember: {hard: {cpu: 1}}}", lifted("requests.cpu"), id="a cap below the default"),
        pytest.param("{pool: {hard: {pods: 3}}}", lifted("pods"), id="a pool below the default"),
        pytest.param("{perMember: {hard: {cpu: 4}}}", [], id="a cap of the default"),
        pytest.param("{pool: {hard: {cpu: 40, pods: 100}}}", [], id="a pool above the default"),
        pytest.param("{perMember: {hard: {gpu: 1}}}", lifted("gpu"), id="what nobody else limits"),
        pytest.param("{perMember: {perPod: {cpu: 8}}}", lifted("requests.cpu"), id="a cap on pods that none has"),
        pytest.param(
            "{perMember: {hard: {pods: 1}}, pool: {hard: {cpu: 1}}}", lifted("pods, requests.cpu"), id="cap and pool"
        ),
        pytest.param("{perMember: {hard: {cpu: 9}}}", [], id="more than the default"),
        pytest.param("{perMember: {hard: {cpu: 1}, mode: warn}}", [], id="a cap that refuses nothing"),
        pytest.param(
            "{pool: {scoped: [{scopes: [BestEffort], hard: {pods: 5}}]}}", lifted("pods"), id="a part of the objects"
        ),
        pytest.param(
            "{pool: {scoped: [{scopes: [BestEffort], hard: {pods: 10}}]}}", [], id="a part as large as the default"
        ),
        pytest.param("{perMember: {hard: {cpu: 1}}, members: [alice]}", [], id="a cap with members"),
        pytest.param("{members: [alice], membership: live}", [], id="live with members"),
        pytest.param("{}", [], id="no limit"),
        pytest.param(
            "{pool: {hard: {cpu: 40}}, membership: live}",
            ["nobody is in it: membership is live, and neither members nor attribution.groupObjects say who is"],
            id="live without members",
        ),
    ],
)
def test_a_group_is_noted(ml: str, expected: list[str]) -> None:
    assert notes(f"{{ml: {ml}}}") == expected


def test_a_group_that_kubernetes_gives_is_not_noted() -> None:
    assert notes('{"system:serviceaccounts:ci": {pool: {hard: {pods: 1}}}}') == []


@pytest.mark.parametrize(
    "defaults",
    ["{user: {hard: {cpu: 1}, mode: audit}}", "{user: {hard: {cpu: unlimited}}}", "{serviceAccount: {hard: {cpu: 1}}}"],
    ids=["audited", "unlimited", "of others"],
)
def test_a_default_that_refuses_nothing_is_none(defaults: str) -> None:
    assert notes("{ml: {pool: {hard: {cpu: 4}}}}", defaults) == lifted("requests.cpu")


def test_parts_are_compared_with_the_same_part_of_the_default() -> None:
    part = "scoped: [{scopes: [BestEffort], hard: {pods: 5}}]"

    assert notes(f"{{ml: {{pool: {{{part}}}}}}}", f"{{user: {{{part}}}}}") == []
    other = part.replace("BestEffort", "NotBestEffort")
    assert notes(f"{{ml: {{pool: {{{part}}}}}}}", f"{{user: {{{other}}}}}") == lifted("pods")


@pytest.mark.parametrize("ml", ["{perMember: {hard: {cpu: 1}}}", "{perMember: {hard: {cpu: 1}}, membership: live}"])
def test_where_objects_of_the_cluster_may_list_members_nothing_is_noted(ml: str) -> None:
    assert notes(f"{{ml: {ml}}}", more="attribution: {groupObjects: openshift}\n") == []


def test_the_default_may_stand_in_another_text_and_the_note_tells_the_place_of_the_group() -> None:
    texts = [
        PolicyText("a", "version: 1\ngroups:\n  staff: {pool: {hard: {cpu: 9}}}\n  ml: {pool: {hard: {cpu: 3}}}\n"),
        PolicyText("b", "version: 1\ndefaults: {user: {hard: {cpu: 4}}}\n"),
    ]

    [note] = read_policy(texts).notes

    assert str(note) == f"a:4:7: groups.ml: {lifted('requests.cpu')[0]}"


def test_membership_and_objects_are_read() -> None:
    text = "version: 1\ngroups: {ml: {membership: live}, staff: {membership: creation}, people: {}}\n"
    policy = read_policy([PolicyText("p", text + "attribution: {groupObjects: openshift}\n")]).policy

    assert policy is not None
    assert policy.group_objects is GroupObjects.OPENSHIFT
    assert {name: each.membership for name, each in policy.groups.items()} == {
        "ml": Membership.LIVE,
        "staff": Membership.CREATION,
        "people": Membership.CREATION,
    }


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("groups: {ml: {membership: today}}", "p:2:27: groups.ml.membership: input should be 'creation' or 'live'"),
        ("groups: {ml: {sticky: true}}", "p:2:15: groups.ml.sticky: unknown field; known are perMember, pool,"),
        (
            "attribution: {groupObjects: ldap}",
            "p:2:29: attribution.groupObjects: input should be 'openshift'",
        ),
        (
            "attribution: {groupObjects: openshift}\n---\nversion: 1\nattribution: {groupObjects: openshift}",
            "p:5:29: attribution.groupObjects: already defined at p:2",
        ),
    ],
)
def test_a_mistake_is_told_with_its_place(text: str, told: str) -> None:
    [mistake] = read_policy([PolicyText("p", f"version: 1\n{text}\n")]).mistakes

    assert str(mistake).startswith(told)


def test_in_the_group_of_everybody_nobody_is_found() -> None:
    name = "system:authenticated"
    of_everybody = f"{{'{name}': {{perMember: {{hard: {{cpu: 9}}}}}}}}"
    [of_group] = notes(of_everybody)
    assert of_group.endswith("; what holds for everybody is defaults.user or cluster")
    [of_exemption] = notes("{}", more=f"exempt: [{{group: '{name}', reason: a}}]\n")
    assert "exempt[0]: it exempts nobody: everybody is in system:authenticated" in of_exemption
