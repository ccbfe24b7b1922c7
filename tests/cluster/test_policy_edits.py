"""Edits of the policy on a real API server, as an admin makes them with kubectl."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.running import in_process
from tests.cluster.people import Person
from tests.cluster.running import CONFIG_MAP, NAMESPACE, RunningWebhook, eventually, pod
from tests.cluster.test_main_job import events
from webhook.kube import policy_copy

FREE = "version: 1\ndefaults: {user: {hard: {pods: 50}}}\n"
DENIED = 'admission webhook "policies.userquota.dev" denied the request: '
OWN = "own"
LABEL = "userquota.dev/policy"


@pytest.fixture
def alice(running: RunningWebhook, named: Callable[[str], Person]) -> Iterator[Person]:
    """Who has two pods, which her own ConfigMap, beside that for all, allows."""
    alice = named("alice")
    running.set_policy(FREE)
    assert edit(running, limiting(alice, pods=3)) == f"configmap/{OWN} created\n"
    for name in ("one", "two"):
        eventually(lambda name=name: "created" in alice.create(pod(name)))  # type: ignore[misc]
    yield alice
    remove(running)


def limiting(person: Person, *, pods: object, reason: str = "") -> str:
    text = f"version: 1\nusers:\n  {person.name}: {{hard: {{pods: {pods}}}}}\n"
    annotations = {"annotations": {"userquota.dev/force": reason}} if reason else {}
    metadata = {"name": OWN, "namespace": NAMESPACE, "labels": {LABEL: "true"}, **annotations}
    return json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"p.yaml": text}})


def edit(running: RunningWebhook, body: str, *options: str) -> str:
    return kubectl(running, "apply", "-f", "-", *options, stdin=body)


def kubectl(running: RunningWebhook, *words: str, stdin: str | None = None) -> str:
    """Return what kubectl prints as admin, successful or not."""
    answer = running.cluster.kubectl(*words, "-n", NAMESPACE, stdin=stdin, check=False)
    return answer.stderr + answer.stdout


def told(running: RunningWebhook) -> str:
    """Return the reasons and messages of Events."""
    listed = json.loads(running.cluster.kubectl("get", "events", "-n", NAMESPACE, "-o", "json").stdout)["items"]
    return "\n".join(f"{each['reason']} {each['message']}" for each in listed)


def remove(running: RunningWebhook) -> None:
    words = json.dumps({"metadata": {"labels": {LABEL: None}, "annotations": {"userquota.dev/force": "the end"}}})
    kubectl(running, "patch", "configmap", OWN, "--type=merge", "--patch", words)
    kubectl(running, "delete", "configmap", OWN)


def test_a_diff_says_who_would_be_over_by_what_is_used_there(
    running: RunningWebhook, alice: Person, tmp_path: Path
) -> None:
    text = f"version: 1\ndefaults: {{user: {{hard: {{pods: 50}}}}}}\nusers: {{{alice.name}: {{hard: {{pods: 1}}}}}}\n"
    (tmp_path / "policy.yaml").write_text(text)
    words = ("policy", "diff", str(tmp_path / "policy.yaml"), "--live", "--namespace", NAMESPACE, "--kubeconfig")

    found = in_process(*words, str(running.cluster.kubeconfig("admin")))
    assert (found.code, found.err) == (1, "")
    over = found.out.partition("# would be over a limit\n")[2]
    assert [line.split()[:5] for line in over.splitlines()[1:2]] == [[f"user/{alice.name}", "pods", "2", "1", "1"]]

    refused = in_process(*words, str(running.cluster.kubeconfig("alice")))
    assert (refused.code, refused.out) == (2, "")
    assert refused.err.startswith("userquota: webhook configurations: ")
    assert refused.err.endswith("no cluster is asked, see docs/policy-tests.md\n")


def test_edits_are_judged_before_they_are_stored(running: RunningWebhook, alice: Person) -> None:
    for options in ((), ("--dry-run=server",), ("--server-side",)):
        said = edit(running, limiting(alice, pods="3x"), *options)
        assert f"{DENIED}the policy would have a mistake:\n{OWN}/p.yaml:3:" in said, said
        assert "hard.pods: invalid quantity '3x'" in said

    below = f"user/{alice.name}: pods 2 used or reserved, 1 by users.{alice.name} at {OWN}/p.yaml:3, 1 too much"
    for options in ((), ("--dry-run=server",), ("--server-side",)):
        said = edit(running, limiting(alice, pods=1), *options)
        assert f"{DENIED}a limit would be below what is used: {below}" in said, said
    stored = kubectl(running, "get", "configmap", OWN, "-o", "jsonpath={.data}")
    assert "{pods: 3}" in stored

    preview = edit(running, limiting(alice, pods=1, reason="the budget was cut"), "--dry-run=server")
    assert f"Warning: over a limit: {below}\n" in preview
    assert preview.endswith(f"configmap/{OWN} configured (server dry run)\n")
    forced = edit(running, limiting(alice, pods=1, reason="the budget was cut"), "--server-side", "--force-conflicts")
    assert forced == preview.replace("configured (server dry run)", "serverside-applied")
    eventually(lambda: "limited: pods=1" in alice.create(pod("three")))
    eventually(lambda: "PolicyForced" in events(running, NAMESPACE))
    eventually(lambda: f"PolicyEdited admin edited the policy: 1 entry added (users.{alice.name})" in told(running))
    refused = f"PolicyRefused an edit of the policy by admin was refused: a limit would be below what is used: {below}"
    eventually(lambda: refused in told(running))
    assert f"admin forced an edit of the policy (the budget was cut): {below}" in events(running, NAMESPACE)


def test_a_lost_label_is_an_edit_and_the_last_policy_stays(running: RunningWebhook, alice: Person) -> None:
    running.set_policy(FREE.replace("50", "1"))

    below = f"user/{alice.name}: pods 2 used or reserved, 1 by defaults.user at {CONFIG_MAP}/policy.yaml:2, 1 too much"
    for words in (("label", "configmap", OWN, f"{LABEL}-"), ("delete", "configmap", OWN)):
        assert f"{DENIED}a limit would be below what is used: {below}" in kubectl(running, *words)
    assert "and nothing in its place does" not in kubectl(running, "annotate", "configmap", OWN, "a=b")

    running.set_policy(FREE)
    assert kubectl(running, "delete", "configmap", OWN) == f'configmap "{OWN}" deleted from {NAMESPACE} namespace\n'
    for words in (("label", "configmap", CONFIG_MAP, f"{LABEL}-"), ("delete", "configmap", CONFIG_MAP)):
        assert f"{DENIED}it is the last ConfigMap with the label {LABEL}=true" in kubectl(running, *words)


CARDS = "resources:\n  example.com/card: {displayName: Cards of the lab, unit: cards, default: 0}\n"
SERVICE_ACCOUNTS = "defaults: {serviceAccount: {hard: {example.com/card: 0}}}\n"


def catalogue(*parts: str) -> str:
    metadata = {"name": OWN, "namespace": NAMESPACE, "labels": {LABEL: "true"}}
    text = "version: 1\n" + "".join(parts)
    return json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"p.yaml": text}})


def test_a_resource_is_opt_in_until_it_leaves_the_catalogue(running: RunningWebhook, alice: Person) -> None:
    running.set_policy("version: 1\n")
    card = pod("three").replace("requests: {", "limits: {example.com/card: 1}, requests: {")
    granted = f"users: {{{alice.name}: {{hard: {{example.com/card: 1}}}}}}\n"

    assert edit(running, catalogue(CARDS, SERVICE_ACCOUNTS)) == (
        f"Warning: lifted: users.{alice.name} limits pods=3 no more, and nothing in its place does\n"
        f"configmap/{OWN} configured\n"
    )
    eventually(lambda: "larger than quota: resources[example.com/card], " in alice.create(card))
    assert "; requests.example.com/card means Cards of the lab, and has to be granted; charged to" in alice.create(card)

    assert edit(running, catalogue(CARDS, SERVICE_ACCOUNTS, granted)) == f"configmap/{OWN} configured\n"
    eventually(lambda: "created" in alice.create(card))
    below = f"user/{alice.name}: requests.example.com/card 1 used or reserved, 0 by resources[example.com/card] at "
    lower = catalogue(CARDS)
    eventually(lambda: f"a limit would be below what is used: {below}" in edit(running, lower, "--dry-run=server"))

    said = edit(running, catalogue(granted))
    lifted = "lifted: resources[example.com/card] limits requests.example.com/card=0 no more, and nothing in its place"
    assert lifted in said
    assert said.endswith(f"configmap/{OWN} configured\n")


def test_people_may_not_write_what_limits_them(running: RunningWebhook, named: Callable[[str], Person]) -> None:
    """What the installation gives everybody is the view of their own; other rights of theirs are the cluster's."""
    alice = named("alice")
    for words in (("patch", CONFIG_MAP, "-p", '{"data": {}}'), ("delete", CONFIG_MAP), ("create", "another")):
        verb, name, *rest = words
        said = kubectl(
            running, verb, "configmap", name, *rest, "--as", alice.name, "--as-group", "system:authenticated"
        )
        assert (
            f'is forbidden: User "{alice.name}" cannot ' in said or f'(Forbidden): User "{alice.name}" cannot ' in said
        )


def test_the_first_policy_of_a_cluster_may_be_below_what_is_used_and_ends_nothing(
    running: RunningWebhook, named: Callable[[str], Person], view: None
) -> None:
    """Nothing is counted before it, and so nothing compared; whoever is over it gets no more."""
    alice = named("alice")
    running.set_policy("version: 1\n")
    for name in ("one", "two", "three"):
        assert " created\n" in alice.create(pod(name))
    first = f"version: 1\nusers: {{{alice.name}: {{hard: {{pods: 1}}}}}}\n"
    running.stop()
    kubectl(running, "delete", "configmap", CONFIG_MAP, policy_copy.NAME)  # while nobody judges it
    running.start()
    eventually(lambda: "no policy" in alice.create(pod("refused")), what=running.readiness)

    def written(text: str) -> str:
        metadata = {"name": CONFIG_MAP, "namespace": NAMESPACE, "labels": {LABEL: "true"}}
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"policy.yaml": text}}
        return edit(running, json.dumps(body))

    assert written(first) == (
        "Warning: no policy was in force, and so nothing is counted yet: "
        "userquota preflight tells who is over a limit\n"
        f"configmap/{CONFIG_MAP} created\n"
    )

    running.wait_until_ready()
    assert "requested: pods=1, used: pods=3, limited: pods=1, reserved: pods=0, free: pods=0" in alice.create(pod("x"))
    assert alice.run("get", "pods", "-o", "name").split() == ["pod/one", "pod/three", "pod/two"]
    as_alice = ("--kubeconfig", str(running.cluster.kubeconfig("admin")), "--as", alice.name)

    def shows_what_is_over() -> bool:
        lines = in_process("get", *as_alice).out.splitlines()
        return ["pods", "3", "0", "1", "0", "2"] in [line.split()[1:] for line in lines]

    eventually(shows_what_is_over)  # an API server that saw the replica stop passes nothing on for a while
    below = f"a limit would be below what is used: user/{alice.name}: pods 3 used or reserved, 0 by users.{alice.name}"
    assert below in written(
        first.replace("pods: 1", "pods: 0")
    )  # the second one is compared with what the first one left
    assert written(first.replace("pods: 1", "pods: 2")) == f"configmap/{CONFIG_MAP} configured\n"
