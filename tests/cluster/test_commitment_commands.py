"""Commands that change commitments, on a real API server with made-up nodes and a replica that judges each edit."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml
from aiohttp import web

from tests.cli.running import USERQUOTA, Ended, in_process, userquota
from tests.cluster.people import Person
from tests.cluster.running import CONFIG_MAP, NAMESPACE, RunningWebhook, eventually
from tests.cluster.test_commitments import a_pod, nodes
from tests.commands import ROOT, commands_of
from tests.commitment_servers import serving
from webhook.quota import commitment_changes as changes
from webhook.quota.commitments import Commitment, Pool
from webhook.quota.quantity import NANOS
from webhook.quota.subject import tenant
from webhook.quota.transfer_offer import digest_of
from webhook.wiring.commitment_editor import Edited, RefusedError, connected_editor

KEPT = "userquota-commitments"
UNTIL = "2099-01-01T00:00:00Z"
TABLE = ("CHANGE", "NAME", "HOLDER", "POOL", "STATE", "AMOUNTS", "FROM", "UNTIL")
TOKEN = re.compile(r"\b[0-9a-f]{40}\b")
Run = Callable[..., Ended]


def no_commitments(running: RunningWebhook) -> None:
    running.cluster.kubectl("delete", "configmap", KEPT, "-n", NAMESPACE, "--ignore-not-found")


@pytest.fixture(scope="module")
def hardware(running: RunningWebhook) -> Iterator[None]:
    """Sixteen GPUs of one model in each of three zones, and eight of another."""
    with nodes(running, 6), nodes(running, 3, "a100"):
        yield


def a_class(model: str, worth: int) -> dict[str, Any]:
    return {"nodes": {"matchLabels": {"commitments.test/gpu": model}}, "worth": {"gpu": worth}}


@pytest.fixture
def policy(running: RunningWebhook, person: Person, hardware: None) -> Iterator[None]:
    """Two tenants, the first of whom has the namespace of *person*; two classes, and nothing is promised."""
    places = {"research": person.place, "ads": "nobody-is-there"}
    tenants = {
        name: {"namespaces": {"matchLabels": {"kubernetes.io/metadata.name": place}}} for name, place in places.items()
    }
    classes = {"h100": {**a_class("h100", 4), "devices": ["nvidia.com/gpu"]}, "a100": a_class("a100", 2)}
    running.set_policy(json.dumps({"version": 1, "tenants": tenants, "nodeClasses": classes}))
    no_commitments(running)
    yield
    no_commitments(running)


@pytest.fixture
def run(running: RunningWebhook, policy: None, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return what runs `userquota commitments` as an admin, once nodes are known."""
    monkeypatch.setenv("KUBECONFIG", str(running.cluster.kubeconfig("admin")))

    def ran(*words: str, code: int = 0) -> Ended:
        ended = in_process("commitments", *words)
        assert ended.code == code, ended
        return ended

    asked = (
        "commitments",
        "can-confirm",
        "--tenant",
        "ads",
        "--node-class",
        "h100",
        "--zone",
        "a",
        "--amount",
        "gpu=1",
    )
    eventually(lambda: in_process(*asked).code == 0, what=lambda: str(in_process(*asked)))
    return ran


def create(name: str, gpus: int, *words: str, tenant: str = "research", zone: str = "a") -> tuple[str, ...]:
    asked = ("--tenant", tenant, "--node-class", "h100", "--zone", zone, "--amount", f"gpu={gpus}")
    return ("create", name, *asked, *words)


def rows(ended: Ended) -> list[tuple[str, ...]]:
    """Return what a table says of each commitment: what was done, name, holder, pool, state and amounts."""
    head, *lines = (tuple(re.split(" {2,}", line)) for line in ended.out.splitlines())
    assert head == TABLE
    return [line[:6] for line in lines]


def stored(running: RunningWebhook) -> dict[str, Any]:
    """Return what is promised in the ConfigMap of programs."""
    answer = running.cluster.kubectl("get", "configmap", KEPT, "-n", NAMESPACE, "-o", "json", check=False)
    if answer.returncode:
        return {}
    text = json.loads(answer.stdout)["data"]["commitments.yaml"]
    found: dict[str, Any] = yaml.safe_load(text).get("commitments", {})
    return found


def test_something_is_promised_unless_nodes_do_not_have_it(running: RunningWebhook, run: Run) -> None:
    tried = run(*create("c-1", 12, "--until", UNTIL, "--dry-run"))
    assert rows(tried) == [("created (dry run)", "c-1", "tenant/research", "h100:a", "confirmed", "gpu=12")]
    assert tried.err == "dry run: it would be accepted now, nothing was stored\n"
    assert stored(running) == {}

    assert rows(run(*create("c-1", 12, "--until", UNTIL)))[0][:2] == ("created", "c-1")
    refused = run(*create("c-2", 5, tenant="ads"), code=1)
    assert refused.out == ""
    first, how, soonest = refused.err.splitlines()
    assert first.startswith(
        "userquota: more would be promised than nodes have: h100 in a: gpu 17 used or promised from "
    )
    assert first.endswith(
        ", 16 there, 1 too much. To do it all the same, say why in the annotation userquota.dev/force in the same edit"
    )
    assert how == "userquota: --force REASON writes that annotation"
    assert soonest == f"userquota: of h100:a, c-1 of tenant/research ends first: gpu=12 on {UNTIL}"
    assert list(stored(running)) == ["c-1"]

    told = run(
        "create", "c-3", "--tenant", "reserch", "--node-class", "h100", "--zone", "a", "--amount", "gpu=1", code=1
    )
    assert told.err.splitlines()[0] == "userquota: the policy would have a mistake:"
    assert "commitments.c-3.tenant: reserch has no entry under tenants, did you mean research?" in told.err
    taken = run(*create("c-1", 1), code=1)
    assert taken.err == "userquota: there is a commitment c-1 already, or was one: choose another name\n"

    forced = run(*create("c-2", 5, "--force", "sold last week", "-o", "json", tenant="ads"))
    assert json.loads(forced.out)["items"][0]["status"] == {"state": "confirmed"}
    assert forced.err.startswith("Warning: more is promised than nodes have: h100 in a: gpu 17 used or promised from ")
    annotations = running.cluster.kubectl("get", "configmap", KEPT, "-n", NAMESPACE, "-o", "yaml").stdout
    assert "userquota.dev/force: sold last week" in annotations


def test_whether_it_could_be_confirmed_is_told_and_nothing_is_changed(running: RunningWebhook, run: Run) -> None:
    run(*create("c-1", 12))
    run(*create("c-2", 8, "--state", "pending", tenant="ads"))
    before = stored(running)
    asked = ("can-confirm", "--tenant", "ads", "--node-class", "h100", "--zone", "a")

    yes = run(*asked, "--amount", "gpu=4")
    assert yes.out == "yes: gpu=4 of h100 in a to tenant/ads\n"
    assert yes.err == "Waiting before it in the same pool: c-2\n"
    assert json.loads(run(*asked, "--amount", "gpu=4", "-o", "json").out) == {
        "canConfirm": True,
        "waitingBefore": ["c-2"],
    }
    no = run(*asked, "--amount", "gpu=5", code=1)
    assert no.out.startswith("no: more would be promised than nodes have: h100 in a: gpu 17 used or promised from ")
    assert no.out.endswith(", 16 there, 1 too much\n")
    waits = run("can-confirm", "c-2", "-o", "json", code=1)
    assert json.loads(waits.out)["canConfirm"] is False
    assert "h100 in a: gpu 20 used or promised" in json.loads(waits.out)["reason"]
    assert run("can-confirm", "c-1", code=1).out == "no: c-1 is confirmed already\n"
    assert stored(running) == before


def test_what_is_there_is_split_merged_exchanged_renewed_and_taken_away(running: RunningWebhook, run: Run) -> None:
    run(*create("c-1", 12, "--until", UNTIL))
    assert rows(run("split", "c-1", "--amount", "gpu=4", "--into", "c-2")) == [
        ("changed", "c-1", "tenant/research", "h100:a", "confirmed", "gpu=8"),
        ("created", "c-2", "tenant/research", "h100:a", "confirmed", "gpu=4"),
    ]
    too_much = run("split", "c-1", "--amount", "gpu=9", "--into", "c-3", code=1)
    assert too_much.err == "userquota: c-1 has 8 gpu, and 9 are to be taken out\n"
    eventually(lambda: rows(run("merge", "c-1", "c-2", "--into", "c-3", "--dry-run"))[0][4] == "superseded")
    assert rows(run("merge", "c-1", "c-2", "--into", "c-3")) == [
        ("changed", "c-1", "tenant/research", "h100:a", "superseded", "gpu=8"),
        ("changed", "c-2", "tenant/research", "h100:a", "superseded", "gpu=4"),
        ("created", "c-3", "tenant/research", "h100:a", "confirmed", "gpu=12"),
    ]

    convert = ("convert", "c-3", "--to-class", "a100", "--into", "c-4", "--amount")
    refused = run(*convert, "gpu=5", code=1)  # 5 of one are 10 of the other, and a zone has eight
    assert "more would be promised than nodes have: a100 in a: gpu 10 used or promised" in refused.err
    assert rows(run(*convert, "gpu=4")) == [
        ("changed", "c-3", "tenant/research", "h100:a", "confirmed", "gpu=8"),
        ("created", "c-4", "tenant/research", "a100:a", "confirmed", "gpu=8"),
    ]
    back = run("convert", "c-4", "--to-class", "h100", "--into", "c-5", "--amount", "gpu=1", code=1)
    assert back.err == (
        "userquota: c-4: 1 gpu of a100 are no whole number of h100: one of them is worth 2, one of these 4\n"
    )

    renewed = run("renew", "c-3", "--into", "c-6", "--for", "1 year, 3 months")
    assert rows(renewed) == [("created", "c-6", "tenant/research", "h100:a", "guaranteed", "gpu=8")]
    assert renewed.out.splitlines()[1].split()[-2:] == [UNTIL, "2100-04-01T00:00:00Z"]
    assert rows(run("delete", "c-1", "c-2"))[1][:2] == ("deleted", "c-2")
    assert run("delete", "c-1", code=1).err == "userquota: there is no commitment c-1\n"
    assert sorted(stored(running)) == ["c-3", "c-4", "c-6"]


def test_it_moves_where_nodes_are_full_unless_the_first_one_uses_it(
    running: RunningWebhook, person: Person, run: Run
) -> None:
    run(*create("c-1", 16))
    moved = run("transfer", "c-1", "--to-tenant", "ads", "--amount", "gpu=6", "--into", "c-2")
    assert rows(moved)[1] == ("created", "c-2", "tenant/ads", "h100:a", "confirmed", "gpu=6")
    eventually(lambda: "on demand 0 of 0 taken, committed 0 of 10 in use" in person.create(a_pod("large", 11, "a")))
    assert " created\n" in person.create(a_pod("in-use", 8, "a"))

    def refusal() -> str:
        return in_process("commitments", "transfer", "c-1", "--to-tenant", "ads", "--dry-run").err

    eventually(lambda: "h100 in a: gpu 24 used or promised" in refusal(), what=refusal)  # 8 used, 16 promised
    assert run("transfer", "c-1", "--to-tenant", "research", code=1).err == (
        "userquota: c-1 is of tenant/research already\n"
    )
    assert rows(run("transfer", "c-1", "--to-tenant", "ads", "--amount", "gpu=2", "--into", "c-3"))[0][5] == "gpu=8"


def test_it_is_handed_over_with_a_token(
    running: RunningWebhook, person: Person, run: Run, view: None, tmp_path: Path
) -> None:
    run(*create("c-1", 16))
    told = json.loads(run("offer", "c-1", "--for", "1 day", "-o", "json").out)
    token, until = told["token"], told["items"][0]["spec"]["offer"]["until"]
    assert stored(running)["c-1"]["offer"] == {"tokenDigest": digest_of(token), "until": until}
    kept = running.cluster.kubectl("get", "configmap", KEPT, "-n", NAMESPACE, "-o", "json").stdout
    assert token not in kept
    eventually(lambda: run("list").out.splitlines()[1].endswith(f"   until {until}"), what=lambda: run("list").out)
    assert "sha256" not in run("list", "-o", "json").out + run("show", "c-1", "-o", "yaml").out

    # It covers its holder as before, and is promised.
    eventually(lambda: " created\n" in person.create(a_pod("in-use", 8, "a")))
    assert "gpu 17 used or promised" in run(*create("c-9", 1, tenant="ads"), code=1).err

    # Whatever is wrong changes nothing.
    (tmp_path / "token").write_text(f"{token}\n")
    accept = ("accept", "--token-file", str(tmp_path / "token"), "--to")
    before = stored(running)
    assert run("accept", "0" * 40, "--to", "tenant/ads", code=1).err == (
        "userquota: nothing is offered by this token: it is another one, or was accepted or withdrawn\n"
    )
    assert run(*accept, "tenant/research", code=1).err == "userquota: c-1 is of tenant/research already\n"

    def refusal() -> str:
        return in_process("commitments", *accept, "tenant/ads", "--dry-run").err

    # Eight are in use, and would be on demand beside the sixteen.
    eventually(lambda: "h100 in a: gpu 24 used or promised" in refusal(), what=refusal)
    assert "h100 in a: gpu 24 used or promised" in run(*accept, "tenant/ads", code=1).err
    body = json.loads(kept)
    text = body["data"]["commitments.yaml"]
    column = text.splitlines()[3].index('"sha256:') + 1
    edits = {
        (
            "commitments.c-1 at userquota-commitments/commitments.yaml:4: tenant/research offered it, and tenant/ads "
            "has not: take offer out where the holder changes"
        ): text.replace("research", "ads"),
        (
            f"userquota-commitments/commitments.yaml:4:{column}: commitments.c-1.offer.tokenDigest: expected the "
            "digest of a token: sha256: and 64 digits of 0-9 and a-f"
        ): text.replace("sha256:", "md5:"),
    }
    for why, edited in edits.items():
        changed = json.dumps({**body, "data": {"commitments.yaml": edited}})
        refused = running.cluster.kubectl("replace", "-f", "-", stdin=changed, check=False)
        assert why in refused.stderr
    assert stored(running) == before

    # A part moves where nodes are full, in one edit that takes the offer out.
    assert "offer" not in json.loads(run("withdraw-offer", "c-1", "-o", "json").out)["items"][0]["spec"]
    assert "nothing is offered by this token" in run(*accept, "tenant/ads", code=1).err
    token = run("offer", "c-1", "--amount", "gpu=8", "--into", "c-2", "-o", "token").out
    words = ("commitments", "accept", "-", "--to", "tenant/ads")
    accepted = userquota(*words, folder=tmp_path, stdin=token.encode())
    assert rows(accepted) == [("changed", "c-2", "tenant/ads", "h100:a", "confirmed", "gpu=8")]
    assert {name: (each["tenant"], "offer" in each) for name, each in stored(running).items()} == {
        "c-1": ("research", False),
        "c-2": ("ads", False),
    }


def test_a_queue_is_served_in_its_order(running: RunningWebhook, run: Run) -> None:
    run(*create("c-0", 8))
    for name, gpus, since in (("first", 4, "2026-01-01"), ("second", 6, "2026-01-02"), ("third", 1, "2026-01-03")):
        run(*create(name, gpus, "--state", "pending", "--from", f"{since}T00:00:00Z", tenant="ads"))
    run(*create("elsewhere", 16, "--state", "pending", tenant="ads", zone="b"))
    served = run("confirm", "--waiting", "-o", "json")
    told = json.loads(served.out)
    assert [(each["metadata"]["name"], each["status"]["state"]) for each in told["items"]] == [
        ("elsewhere", "confirmed"),
        ("first", "confirmed"),
    ]
    assert [each["metadata"]["name"] for each in told["waiting"]] == ["second", "third"]
    assert "h100 in a: gpu 18 used or promised" in told["waiting"][0]["reason"]
    assert told["waiting"][1]["reason"] == "second waits before it for h100 in a"

    passed = run("confirm", "third")
    assert rows(passed) == [("changed", "third", "tenant/ads", "h100:a", "confirmed", "gpu=1")]
    assert passed.err == "Waiting before it in the same pool: second\n"
    run("delete", "c-0")
    eventually(lambda: rows(run("confirm", "--waiting"))[0][1] == "second")
    assert run("confirm", "--waiting").err == "Nothing waits.\n"


def test_commands_at_once_are_each_made_and_promise_no_more_than_there_is(running: RunningWebhook, run: Run) -> None:
    run(*create("c-0", 1))
    kubeconfig = running.cluster.kubeconfig("admin")

    async def make(name: str) -> Edited:
        new = Commitment(name, tenant("research"), Pool("h100", "a"), {"gpu": 5 * NANOS})
        async with connected_editor(kubeconfig, None, None, namespace=NAMESPACE) as editor:
            return await editor.edit(lambda known: changes.create(known.commitments, new))

    async def make_all() -> list[Edited | BaseException]:
        return await asyncio.gather(*(make(f"c-{each}") for each in range(1, 5)), return_exceptions=True)

    [refused] = [each for each in asyncio.run(make_all()) if isinstance(each, BaseException)]
    assert isinstance(refused, RefusedError)
    assert "h100 in a: gpu 21 used or promised" in str(refused)
    assert sum(int(each["amounts"]["gpu"]) for each in stored(running).values()) == 16


def test_what_an_admin_wrote_is_told_with_its_place(running: RunningWebhook, run: Run) -> None:
    theirs = "version: 1\ncommitments:\n  theirs: {tenant: ads, nodeClass: h100, zone: c, amounts: {gpu: 1}}\n"
    labelled = {"name": "of-an-admin", "namespace": NAMESPACE, "labels": {"userquota.dev/policy": "true"}}
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": labelled, "data": {"promises.yaml": theirs}}
    running.cluster.kubectl("create", "-f", "-", stdin=json.dumps(body))
    try:
        for words in (("delete", "theirs"), ("transfer", "theirs", "--to-tenant", "research")):
            assert run(*words, code=1).err == (
                "userquota: theirs stands in ConfigMap of-an-admin, key promises.yaml, line 3: edit it there, commands "
                "change only what is in ConfigMap userquota-commitments\n"
            )
        assert run(*create("theirs", 1), code=1).err.startswith("userquota: there is a commitment theirs already")
        refused = run(*create("c-1", 16, zone="c"), code=1)
        assert "h100 in c: gpu 17 used or promised" in refused.err
    finally:
        running.cluster.kubectl("delete", "configmap", "of-an-admin", "-n", NAMESPACE)


def test_without_a_judge_and_beside_mistakes_nothing_is_promised(running: RunningWebhook, run: Run) -> None:
    run(*create("c-1", 1))
    run("offer", "c-1")
    text = running.cluster.kubectl("get", "configmap", CONFIG_MAP, "-n", NAMESPACE, "-o", "json").stdout
    good = json.loads(json.loads(text)["data"]["policy.yaml"])
    running.kill()
    try:
        assert "no replica of userquota judges edits of the policy now" in run(*create("c-2", 1), code=2).err
        asked = create("c-2", 1)[2:]
        assert "no replica" in run("can-confirm", *asked, code=2).err
        running.apply_policy(json.dumps({**good, "tenants": {"ads": good["tenants"]["ads"]}}))
        told = run(*create("c-2", 1), code=2)
        assert "the policy has mistakes, and is not in force. Mend it first: " in told.err
        assert "commitments.c-1.tenant: research has no entry under tenants" in told.err
    finally:
        running.start()
    eventually(
        lambda: in_process("commitments", "withdraw-offer", "c-1").code == 0,
        what=lambda: str(in_process("commitments", "withdraw-offer", "c-1")),
    )
    assert "offer" not in stored(running)["c-1"]
    eventually(lambda: in_process("commitments", "delete", "c-1").code == 0, what=running.output)
    running.set_policy(json.dumps(good))
    running.wait_until_ready()


def test_what_ends_soon_is_listed_first(running: RunningWebhook, run: Run, view: None) -> None:
    run(*create("later", 1, "--for", "20 days"))
    run(*create("sooner", 1, "--for", "10 days"))
    run(*create("much-later", 1, "--for", "2 months"))
    run(*create("never", 1))

    def listed(*words: str) -> list[str]:
        return run("list", "-o", "name", *words).out.split()

    eventually(lambda: listed() == ["later", "much-later", "never", "sooner"], what=lambda: str(listed()))
    assert listed("--ending-within", "30 days") == ["sooner", "later"]
    assert listed("--ending-within", "1 year") == ["sooner", "later", "much-later"]
    names = [
        each["metadata"]["name"]
        for each in json.loads(run("list", "-o", "json", "--ending-within", "30 days").out)["items"]
    ]
    assert names == ["sooner", "later"]


def test_the_role_of_the_document_is_enough_once_there_is_one(running: RunningWebhook, run: Run) -> None:
    text = (ROOT / "docs/commitments.md").read_text()
    [role] = [each for each in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) if "kind: Role\n" in each]
    binding = ("create", "rolebinding", "commitments", "-n", NAMESPACE, "--role=commitments", "--user=of-sales")
    as_sales = ("--as", "of-sales")
    running.cluster.kubectl("apply", "-f", "-", stdin=role)
    running.cluster.kubectl(*binding)
    try:
        first = run(*create("c-1", 1, *as_sales), code=2)
        assert 'cannot create resource "configmaps"' in first.err
        run(*create("c-1", 1))
        assert rows(run(*create("c-2", 1, *as_sales)))[0][:2] == ("created", "c-2")
        assert rows(run("delete", "c-1", *as_sales))[0][:2] == ("deleted", "c-1")
        assert "cannot get resource" in run("delete", "c-2", "--as", "of-nobody", code=2).err
    finally:
        running.cluster.kubectl("delete", "rolebinding,role", "commitments", "-n", NAMESPACE)


def test_the_document_is_what_the_commands_print(
    running: RunningWebhook, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shown = in_the_document()
    assert [line for line, _ in shown] == commands_of("docs/commitments.md")
    for line, told in shown:
        ended = in_process(*shlex.split(line)[1:])
        assert when(ended.out + ended.err) == when(told), line
        assert ended.code == int(told.startswith("userquota: ")), line
        if token := TOKEN.search(ended.out):
            Path("token.txt").write_text(token[0])


def in_the_document() -> list[tuple[str, str]]:
    """Return the commands of the document, each with what stands below it: some stand there twice."""
    blocks = re.findall(r"```console\n(.*?)```", (ROOT / "docs/commitments.md").read_text(), re.DOTALL)
    runs = [each.partition("\n") for block in blocks for each in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]]
    return [(line, told) for line, _, told in runs]


def when(text: str) -> str:
    """Return *text* without the moments at which it was printed, and the tokens that it prints."""
    return TOKEN.sub("TOKEN", re.sub(r"20[2-8]\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", "NOW", text))


def test_a_list_of_another_system_is_taken_over_entry_by_entry(
    running: RunningWebhook, run: Run, tmp_path: Path
) -> None:
    run(*create("c-0", 4))
    entry = {"tenant": "research", "nodeClass": "h100", "zone": "a", "amounts": {"gpu": 8}}
    listed = {
        "b-1": entry,
        "b-2": {**entry, "amounts": {"gpu": 9}},
        "b-3": {**entry, "zone": "b"},
        "b-4": {"tenant": "x"},
    }
    file = tmp_path / "broker.json"
    file.write_text(json.dumps({"commitments": listed}))

    tried = run("sync", str(file), "--dry-run", code=1)
    assert [row[:2] for row in rows(tried)] == [("created (dry run)", "b-1"), ("created (dry run)", "b-3")]
    assert list(stored(running)) == ["c-0"]
    ended = run("sync", str(file), code=1)
    assert [row[:2] for row in rows(ended)] == [("created", "b-1"), ("created", "b-3")]
    assert re.findall(r"^(?:left out|kept, although it is not listed any more): (\S+)", ended.err, re.MULTILINE) == [
        "b-2:",
        "b-4:",
        "c-0",
    ]
    assert "left out: b-2: more would be promised than nodes have: h100 in a: gpu 21 used or promised" in ended.err
    assert list(stored(running)) == ["b-1", "b-3", "c-0"]

    file.write_text(json.dumps({"commitments": {"b-3": {**entry, "zone": "b"}}}))
    again = run("sync", str(file), "-o", "name")
    assert (again.out, list(stored(running))) == ("", ["b-1", "b-3", "c-0"])


@contextmanager
def account_of(running: RunningWebhook, component: str) -> Iterator[str]:
    """Have the account of a component that changes commitments, with the rights that it has there."""
    folder = ROOT / "manifests" / "components" / component
    files = [f"--filename={folder / each}" for each in ("serviceaccount.yaml", "role.yaml", "rolebinding.yaml")]
    running.cluster.kubectl("apply", *files)
    try:
        yield f"system:serviceaccount:{NAMESPACE}:userquota-{component}"
    finally:
        running.cluster.kubectl("delete", *files)


@pytest.fixture
def of_the_source(running: RunningWebhook) -> Iterator[str]:
    with account_of(running, "commitment-source") as account:
        yield account


@pytest.fixture
def of_the_queue(running: RunningWebhook) -> Iterator[str]:
    with account_of(running, "commitment-queue") as account:
        yield account


def told_in_events(running: RunningWebhook, reason: str) -> list[str]:
    """Return the messages of Events on the ConfigMap of programs."""
    selector = f"--field-selector=reason={reason},involvedObject.name={KEPT}"
    answer = running.cluster.kubectl("get", "events", "-n", NAMESPACE, selector, "-o", "json").stdout
    return [each["message"] for each in json.loads(answer)["items"]]


def test_a_queue_is_served_by_itself(running: RunningWebhook, run: Run, of_the_queue: str, tmp_path: Path) -> None:
    """By a process of its own, with the rights of its own, until it is stopped."""
    run(*create("queue-0", 12))
    waits = ("--state", "pending", "--from", "2026-01-01T00:00:00Z")
    run(*create("queue-1", 8, *waits, tenant="ads"))
    run(*create("queue-2", 1, "--state", "pending", "--from", "2090-01-01T00:00:00Z", tenant="ads"))
    log = tmp_path / "log"

    def logged(event: str) -> list[dict[str, Any]]:
        """Return the entries of the whole lines that there are."""
        lines = [json.loads(line) for line in log.read_text().splitlines(keepends=True) if line.endswith("\n")]
        return [each for each in lines if each["event"] == event]

    def of_events(name: str) -> list[str]:
        messages = told_in_events(running, "CommitmentConfirmed")
        return [each for each in messages if each.startswith(f"commitment {name} ")]

    words = ("commitments", "confirm", "--waiting", "--every=10s", f"--as={of_the_queue}")
    before = stored(running)
    with log.open("wb") as out, subprocess.Popen([USERQUOTA, *words], stdout=out) as process:
        try:
            eventually(lambda: len(logged("queue served")) > 1, what=log.read_text)
            [first] = logged("the first of a pool waits")
            assert (first["name"], first["holder"], first["pool"]) == ("queue-1", "tenant/ads", "h100 in a")
            assert "h100 in a: gpu 20 used or promised" in first["why"]
            assert stored(running) == before

            run("delete", "queue-0")
            eventually(lambda: sum(each["confirmed"] for each in logged("queue served")) == 2, what=log.read_text)
            assert {name: each["state"] for name, each in stored(running).items()} == {
                "queue-1": "confirmed",
                "queue-2": "confirmed",
            }
            eventually(lambda: len(of_events("queue-1")) == len(of_events("queue-2")) == 1, what=log.read_text)
            assert "of tenant/ads is in force from 20" in of_events("queue-1")[0]
            assert "is confirmed, and begins later: gpu=1 of h100 in a" in of_events("queue-2")[0]
        finally:
            process.terminate()
    assert process.returncode == 128 + signal.SIGTERM
    assert {each["name"] for each in logged("commitment confirmed")} == {"queue-1", "queue-2"}
    assert run("confirm", "--waiting").err == "Nothing waits.\n"


async def test_a_list_of_another_system_is_followed(
    running: RunningWebhook, run: Run, of_the_source: str, tmp_path: Path
) -> None:
    """As a process of its own, with the rights of its own, until it is stopped."""
    entry = {"tenant": "research", "nodeClass": "h100", "zone": "a"}
    listed = {
        "generation": 2,
        "commitments": {
            "b-1": {**entry, "amounts": {"gpu": 8}},
            "b-2": {**entry, "amounts": {"gpu": 9}},
        },
    }

    async def answer(request: web.Request) -> web.StreamResponse:
        assert request.headers["Authorization"] == "Bearer of-the-source"
        return web.json_response(listed)

    async def soon(claim: Callable[[], bool]) -> None:
        await asyncio.to_thread(eventually, claim)

    def promised() -> dict[str, str]:
        return {name: each["amounts"]["gpu"] for name, each in stored(running).items()}

    told = partial(told_in_events, running)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.crt")
    (tmp_path / "token").write_text("of-the-source")
    async with serving(authority, answer) as source:
        files = (f"--token-file={tmp_path / 'token'}", f"--ca-file={tmp_path / 'ca.crt'}")
        words = ("commitments", "sync", source.address, "--every=10s", f"--as={of_the_source}", *files)
        process = await asyncio.create_subprocess_exec(USERQUOTA, *words, stdout=asyncio.subprocess.PIPE)
        try:
            await soon(lambda: promised() == {"b-1": "8"} and told("CommitmentLeftOut") != [])
            [message] = told("CommitmentLeftOut")
            assert message.startswith("commitment b-2 is left out: more would be promised than nodes have: h100 in a: ")

            listed.update(generation=1, commitments={"b-1": {**entry, "amounts": {"gpu": 1}}})
            await soon(lambda: told("CommitmentSourceFailed") != [])
            assert "generation 2 was taken over before" in told("CommitmentSourceFailed")[0]
            assert promised() == {"b-1": "8"}

            listed.update(generation=3, commitments={"b-2": {**entry, "amounts": {"gpu": 6}}})
            await soon(lambda: promised() == {"b-1": "8", "b-2": "6"})
        finally:
            process.terminate()
            out, _ = await process.communicate()
    assert process.returncode == 128 + signal.SIGTERM
    logged = [json.loads(line) for line in out.splitlines()]
    assert [each["missing"] for each in logged if each["event"] == "commitments taken over"][-1] == 1


def test_what_a_commitment_covers_is_shown(running: RunningWebhook, run: Run, view: None, person: Person) -> None:
    """Whether both are made in one second or not, the first is covered first: it is the larger one."""
    run(*create("c-1", 4))
    eventually(lambda: " created\n" in person.create(a_pod("old", 3, "a")))
    assert " created\n" in person.create(a_pod("new", 2, "a"))
    covered = {
        ("pods", person.place, name, person.name, amount) for name, amount in (("old", "gpu=3"), ("new", "gpu=1"))
    }

    def shown() -> set[tuple[str, ...]]:
        return {tuple(line.split()) for line in run("show", "c-1").out.splitlines()[4:]}

    eventually(lambda: shown() == covered, what=lambda: str(shown()))
    assert "there is no commitment c-9" in run("show", "c-9", code=2).err
