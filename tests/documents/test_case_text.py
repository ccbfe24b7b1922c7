"""A file of policy tests: what is wrong with it is told at its line and column, and nothing in it is skipped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from webhook.documents.case_schema import Verdict
from webhook.documents.case_text import Case, CasesReading, Create, ScaleTo, Update, read_cases
from webhook.documents.policy_text import PolicyReading, PolicyText, read_policy
from webhook.quota.errors import WebhookError
from webhook.quota.subject import NOBODY, Payer

POD = "{apiVersion: v1, kind: Pod, metadata: {name: p}}"
HEAD = "policy: policy.yaml\ncases:\n"
CASE = f"  - {{name: a, as: {{user: alice}}, namespace: red, when: {POD}, expect: allow}}\n"
FILES = {
    "policy.yaml": "version: 1\nusers: {alice: {hard: {cpu: 1}}}\n",
    "bad.yaml": "version: 1\nusres: {}\n",
    "pod.yaml": f"{POD}\n",
    "two.yaml": f"{POD}\n---\n{POD}\n",
    "none.yaml": "# nothing\n",
    "broken.yaml": "apiVersion: v1\nkind: [\n",
}


def reading(text: str, files: Mapping[str, str] = FILES) -> CasesReading:
    def text_at(name: str) -> tuple[str, str]:
        if name not in files:
            raise WebhookError(f"{name}: No such file or directory")
        return f"dir/{name}", files[name]

    def policies_at(names: Sequence[str]) -> PolicyReading:
        return read_policy(PolicyText(*text_at(name)) for name in names)

    return read_cases(text, source="c.yaml", read_text=text_at, read_policies=policies_at)


def case(**fields: str) -> str:
    """Return a file with one case, in which *fields* are written anew."""
    texts = {"name": "a", "as": "{user: alice}", "namespace": "red", "when": POD, "expect": "allow"}
    texts |= {name.rstrip("_"): text for name, text in fields.items()}
    return HEAD + "  - " + "\n    ".join(f"{name}: {text}" for name, text in texts.items() if text) + "\n"


def the_case(text: str) -> Case:
    found = reading(text)
    assert found.mistakes == ()
    (only,) = found.cases
    return only


REQUIRED = "this field is required"
TWICE = "given twice, under its short and its full name"
NUMBER = "c.yaml:5:16: cases[0].namespace"
MISTAKES = {
    "a field that is not there": (
        HEAD + CASE.replace("expect:", "expects:"),
        f"c.yaml:3:5: cases[0].expect: {REQUIRED}\nc.yaml:3:106: cases[0].expects: unknown field, did you mean expect?",
    ),
    "of the file": (
        HEAD + CASE + "namespace: {}\n",
        "c.yaml:4:1: namespace: unknown field, did you mean namespaces?",
    ),
    "of whoever acts": (case(as_="{usr: alice}"), "c.yaml:4:10: cases[0].as.usr: unknown field, did you mean user?"),
    "no cases": (HEAD.replace("cases:", "cases: []"), "c.yaml:2:8: cases: expected at least one"),
    "cases that are left out": ("policy: policy.yaml\n", "c.yaml:1:1: cases: this field is required"),
    "an empty file": ("# cases\n", "c.yaml:1:1: expected one document with policy and cases"),
    "two documents": (HEAD + CASE + "---\n" + HEAD + CASE, "c.yaml:1:1: expected one document with policy and cases"),
    "no policy": ("cases:\n" + CASE, "c.yaml:1:1: policy: this field is required"),
    "a policy with mistakes": (
        case().replace("policy.yaml", "bad.yaml"),
        "dir/bad.yaml:2:1: usres: unknown field, did you mean users?",
    ),
    "a policy that is not there": (
        case().replace("policy.yaml", "gone.yaml"),
        "c.yaml:1:9: policy: gone.yaml: No such file or directory",
    ),
    "a mistake in a policy inside": (
        case().replace("policy.yaml", "{version: 1, users: {alice: {hard: {cpu: 1K}}}}"),
        "c.yaml:1:50: users.alice.hard.cpu: invalid quantity '1K': unknown suffix 'K', did you mean k or Ki?",
    ),
    "a policy inside that says nothing": (
        case().replace("policy.yaml", "{}"),
        "c.yaml:1:9: version: this field is required",
    ),
    "two cases of one name": (HEAD + CASE + CASE, "c.yaml:4:12: cases[1].name: the case of line 3 has the same name"),
    "an unknown verdict": (
        case(expect="allowed"),
        "c.yaml:7:13: cases[0].expect.verdict: input should be 'allow', 'warn' or 'deny'",
    ),
    "a limit on what is allowed": (
        case(expect="{verdict: allow, limit: x}"),
        "c.yaml:7:13: cases[0].expect: what is allowed is bound by no limit and has no message: expect warn or deny",
    ),
    "nobody acts": (case(as_="{groups: [ml]}"), "c.yaml:4:9: cases[0].as: expected one of user, serviceAccount"),
    "a service account as a user": (
        case(as_='{user: "system:serviceaccount:a:b"}'),
        "c.yaml:4:9: cases[0].as: write a service account as serviceAccount: <namespace>/<name>",
    ),
    "usage without an amount": (
        case(given="[{user: alice}]"),
        "c.yaml:8:13: cases[0].given[0]: expected uses, with amounts, or objects, with manifests",
    ),
    "usage of an unknown resource": (
        case(given="[{user: alice, uses: {cpus: 1}}]"),
        "c.yaml:8:34: cases[0].given[0].uses.cpus: unknown resource, did you mean cpu?",
    ),
    "an amount under two names": (
        case(given="[{user: alice, uses: {cpu: 1, requests.cpu: 1}}]"),
        f"c.yaml:8:56: cases[0].given[0].uses[requests.cpu]: requests.cpu is {TWICE}",
    ),
    "nobody's usage": (
        case(given="[{uses: {cpu: 1}}]"),
        "c.yaml:8:13: cases[0].given[0]: expected one of user, serviceAccount, unattributed, group",
    ),
    "groups of a group": (
        case(given="[{group: ml, groups: [x], uses: {cpu: 1}}]"),
        "c.yaml:8:13: cases[0].given[0]: groups are those of a user or serviceAccount",
    ),
    "an update without what was before": (
        case(when="{update: pod.yaml}"),
        "c.yaml:6:11: cases[0].when: update and old belong together",
    ),
    "two requests": (
        case(when="{create: pod.yaml, scale: pod.yaml, replicas: 1}"),
        "c.yaml:6:11: cases[0].when: expected one of create, update, scale",
    ),
    "a manifest that is not there": (
        case(when="gone.yaml"),
        "c.yaml:6:11: cases[0].when: gone.yaml: No such file or directory",
    ),
    "a manifest of nothing": (case(when="none.yaml"), "c.yaml:6:11: cases[0].when: no object in dir/none.yaml"),
    "a manifest of two": (case(when="two.yaml"), "c.yaml:6:11: cases[0].when: expected one object, found 2"),
    "an object without a version": (case(when="{kind: Pod}"), "c.yaml:6:11: cases[0].when.apiVersion: missing"),
    "a number for a namespace": (
        case(namespace="012"),
        f"{NUMBER}: YAML reads 012 as 10 here: write 10\n{NUMBER}: expected fields, each with a value",
    ),
    "a time without a zone": (
        case(at="2027-01-31T00:00:00"),
        "c.yaml:8:9: cases[0].at: the time zone is missing: write Z for UTC, or as in 2027-01-31T00:00:00+01:00",
    ),
    "a namespace that is told twice": (
        "namespaces: {red: {labels: {a: b}}}\n" + case(namespace="{name: red, labels: {a: c}}"),
        "c.yaml:6:16: cases[0].namespace: namespaces say already what red carries: write its name only",
    ),
}


@pytest.mark.parametrize(("text", "told"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_told_with_its_place_and_nothing_is_run(text: str, told: str) -> None:
    found = reading(text)
    assert "\n".join(map(str, found.mistakes)) == told
    assert found.cases == ()


def test_a_broken_manifest_is_told_in_its_own_file() -> None:
    (mistake,) = reading(case(when="broken.yaml")).mistakes
    assert str(mistake).startswith("dir/broken.yaml:3:1: ")


def test_words_of_a_manifest_are_read_as_kubectl_reads_them() -> None:
    found = the_case(case(when="{apiVersion: v1, kind: Secret, defaultMode: 0644, spec: {on: yes}}"))
    assert isinstance(found.when, Create)
    assert found.when.new.body == b'{"apiVersion":"v1","kind":"Secret","defaultMode":420,"spec":{"true":true}}'


def test_a_policy_inside_is_read_like_one_of_its_own() -> None:
    inside = "\n  version: 1\n  users: {alice: {hard: {cpu: 1}}}\n  groups: {ml: {pool: {hard: {gpu: 1}}}}"
    policy = reading(case().replace(" policy.yaml", inside)).policy.policy
    assert policy is not None
    assert policy.users["alice"].place == "c.yaml:3"
    assert list(policy.groups) == ["ml"]


def test_who_acts_has_the_groups_that_the_api_server_adds() -> None:
    person = the_case(case(as_="{user: alice, groups: [ml]}")).user
    account = the_case(case(as_="{serviceAccount: ci/robot}")).user
    assert (person.username, person.groups) == ("alice", ("ml", "system:authenticated"))
    assert account.username == "system:serviceaccount:ci:robot"
    assert account.groups == ("system:serviceaccounts", "system:serviceaccounts:ci", "system:authenticated")


def test_who_pays_for_what_exists() -> None:
    whom = ("user: bob, groups: [b, a]", "unattributed: true", "group: ml")
    given = ", ".join(f"{{{each}, uses: {{cpu: 1}}}}" for each in whom)
    payers = [each.payer for each in the_case(case(given=f"[{given}]")).given]
    assert payers == [Payer("bob", ("a", "b")), NOBODY, Payer("(a member of ml)", ("ml",))]


def test_whoever_asks_made_what_was_before_unless_it_says_who() -> None:
    update = the_case(case(when=f"{{update: pod.yaml, old: {POD}}}")).when
    scale = the_case(case(when="{scale: pod.yaml, replicas: 0, owner: {user: bob}}")).when
    assert isinstance(update, Update)
    assert isinstance(scale, ScaleTo)
    assert (update.owner, scale.owner, scale.replicas) == (Payer("alice"), Payer("bob"), 0)


def test_a_time_of_the_file_holds_for_cases_without_one() -> None:
    first, second = reading(
        "at: 2026-12-01T00:00:00Z\n" + HEAD + CASE + CASE.replace("name: a", "name: b, at: 2027-12-01T00:00:00Z")
    ).cases
    assert (str(first.at), str(second.at)) == ("2026-12-01 00:00:00+00:00", "2027-12-01 00:00:00+00:00")
    assert (first.position.line, first.expected.verdict) == (4, Verdict.ALLOW)
