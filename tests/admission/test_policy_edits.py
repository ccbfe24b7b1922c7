"""Edits of the policy's ConfigMaps, over fake ports: what is refused, what is told, and what is forced."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from tests.admission.asking import Json, a_review, decoded, request_of
from tests.fakes import FakeClock, FakeNamespaces, FakeStore, FakeStoredPolicies, FakeUsage
from webhook.admission import covered_use, review
from webhook.admission.config_map_edit import ConfigMapEdit
from webhook.admission.policy_edits import PolicyEdits
from webhook.documents.policy_config_map import PolicyConfigMap
from webhook.documents.policy_text import read_policy
from webhook.ledger.memory import MemoryLedger
from webhook.policy_source import CurrentPolicy, PolicyConfigMaps, Submission
from webhook.ports import READY, PromisesChangingError, StoredPolicyMap, UnavailableError
from webhook.quota import scopes
from webhook.quota.capacity import NodeFacts
from webhook.quota.objects import ObjectKey, StoredVersion
from webhook.quota.policy import Policy, accounts_under
from webhook.quota.promises import MarkedEdit
from webhook.quota.reservation import Reservation
from webhook.quota.resources import Amount
from webhook.quota.subject import Payer
from webhook.quota.usage import Holdings, Row, UsageIndex

NAMESPACE = "userquota-system"
ALLOWED = {"uid": "call-1", "allowed": True}
CPU = 10**9
FOUR = "version: 1\ndefaults: {user: {hard: {cpu: 4}}}\n"
TWO = FOUR.replace("4", "2")
BAD = "version: 1\nusers: {bob: {hard: {cpu: 1K}}}\n"
BOB = "version: 1\nusers: {bob: {hard: {pods: 9}}}\n"
FORCE = {"userquota.dev/force": "the budget was cut"}
MISTAKE = "p/policy.yaml:2:27: users.bob.hard.cpu: invalid quantity '1K': unknown suffix 'K', did you mean k or Ki?"
ALICE_OVER = "user/alice: requests.cpu 3 used or reserved, 2 by defaults.user at p/policy.yaml:2, 1 too much"
WHAT_FOLLOWS = "what runs there stays, and nothing more is admitted until it fits"
KEEP = ". To let people keep what they have until a date, give each an entry under users with until in the same edit"
HOW = "To do it all the same, say why in the annotation userquota.dev/force in the same edit"
LAST = (
    "it is the last ConfigMap with the label userquota.dev/policy=true, and without it the policy in force would stay: "
    "to limit nobody, have it say no more than version: 1"
)


def config_map(text: str | None = FOUR, name: str = "p", *, label: str = "true", **fields: Any) -> Json:
    metadata: Json = {"name": name, "namespace": NAMESPACE, "uid": f"uid-of-{name}", "resourceVersion": "5"}
    metadata["labels"] = {"userquota.dev/policy": label, "app": "x"} if label else None
    metadata["annotations"] = fields.pop("annotations", None)
    data = {} if text is None else {"data": {"policy.yaml": text}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, **data, **fields}


@dataclass
class Stage:
    """The policy as it is stored and in force, what is used, and what is said of edits."""

    may_be_absent: bool = False
    forced: list[tuple[str, str, str]] = field(default_factory=list)
    edited: list[tuple[str, str]] = field(default_factory=list)
    refused: list[tuple[str, str, str]] = field(default_factory=list)
    recorded: dict[str, str] = field(default_factory=dict)
    """What the last answer has in the audit log of every edit."""

    def __post_init__(self) -> None:
        self.clock = FakeClock()
        self.namespaces = FakeNamespaces()
        self.policy = CurrentPolicy(on_change=self._rebind, on_mistakes=lambda _: None)
        self.maps = PolicyConfigMaps(self._submit, on_removed=lambda *_: None, may_be_absent=self.may_be_absent)
        self.index = UsageIndex(accounts_under(Policy(), self.namespaces.known))
        self.usage = FakeUsage(self.index)
        self.ledger = MemoryLedger(
            self.index, monotonic=self.clock.monotonic, api_time=self.clock.monotonic, in_step=lambda: READY
        )
        self.objects = FakeStore()
        self.edits = PolicyEdits(
            NAMESPACE,
            self.maps,
            self.policy,
            self.namespaces,
            self.usage,
            self.ledger,
            self.objects,
            self.clock,
            reports=Reports(self),
        )

    def _rebind(self, policy: Policy) -> None:
        self.index.rebind(accounts_under(policy, self.namespaces.known), policy.devices)

    def _submit(self, new: Submission) -> None:
        self.policy.accept(new.texts, read_policy(new.texts), faults=new.faults)
        if new.seen is not None:
            self.ledger.policy_seen(new.seen, version=new.version)
        self.ledger.policy_in_force(new.seen, version=new.version, changed_at=new.changed_at)

    def stores(self, *bodies: Json) -> Stage:
        """Tell of a full list."""
        self.maps.started()
        for each in bodies:
            self.maps.seen(msgspec.convert(each, PolicyConfigMap, strict=False))
        self.maps.synced(7)
        return self

    def uses(self, **cpus: int) -> Stage:
        for name, cpu in cpus.items():
            amounts: tuple[tuple[str, Amount], ...] = (("requests.cpu", cpu * CPU),)
            self.index.observe(ObjectKey("pods", "red", name), Row(f"uid-of-{name}", 5, Payer(name), amounts))
        return self

    async def ask(self, operation: str, new: Json | None, old: Json | None = None, **request: Any) -> Json:
        request = {"namespace": NAMESPACE, "user": "root", **request}
        body = a_review("configmaps", operation, object=new, oldObject=old, name="p", **request)
        deadline = self.clock.monotonic() + 5
        answer = decoded(review.encode(await self.edits.judge(request_of(body), deadline=deadline)))
        audit = answer.pop("auditAnnotations", {})
        self.recorded = {key: audit.pop(key) for key in ("edited-by", "changed") if key in audit}
        return {**answer, "auditAnnotations": audit} if audit else answer

    async def update(self, new: Json, old: Json | None = None, **request: Any) -> Json:
        return await self.ask("UPDATE", new, old or config_map(), **request)

    async def refusal(self, operation: str, new: Json | None, old: Json | None = None, **request: Any) -> str:
        """Return why an edit is refused, which is told as a denial that is final."""
        answer = await self.ask(operation, new, old, **request)
        assert (answer["allowed"], answer["status"]["code"]) == (False, 403)
        message: str = answer["status"]["message"]
        return message


@dataclass(frozen=True)
class Reports:
    """Port `EditReports`: what is told of edits, kept on a stage."""

    stage: Stage

    def edited(self, edit: ConfigMapEdit, message: str) -> None:
        self.stage.edited.append((edit.digest, message))

    def forced(self, edit: ConfigMapEdit, message: str) -> None:
        self.stage.forced.append((edit.name, edit.uid, message))

    def refused(self, edit: ConfigMapEdit, user: str, message: str) -> None:
        self.stage.refused.append((edit.name, user, message))


@pytest.fixture
def stage() -> Stage:
    """One ConfigMap that gives everybody four CPUs, of which alice uses three."""
    return Stage().stores(config_map()).uses(alice=3)


# Mistakes.


async def test_a_good_edit_is_accepted_without_a_word(stage: Stage) -> None:
    assert await stage.update(config_map(FOUR.replace("4", "3"))) == ALLOWED
    assert await stage.ask("CREATE", config_map(BOB, "second")) == ALLOWED


async def test_every_mistake_is_told_with_its_place_and_in_a_form_for_programs(stage: Stage) -> None:
    answer = await stage.update(config_map(BAD + "user: {}\n"))

    assert answer["status"]["message"] == (
        f"the policy would have 2 mistakes:\n{MISTAKE}\np/policy.yaml:3:1: user: unknown field, did you mean users?"
    )
    assert [(each["field"], each["reason"]) for each in answer["status"]["details"]["causes"]] == [
        ("data[policy.yaml]", "FieldValueInvalid")
    ] * 2
    assert answer["auditAnnotations"]["refused"].startswith("the policy would have 2 mistakes:?p/policy.yaml:2:27")


async def test_of_many_mistakes_the_first_ten_are_told(stage: Stage) -> None:
    many = "version: 1\nusers:\n" + "".join(f"  user-{number}: []\n" for number in range(1000))
    lines = (await stage.refusal("UPDATE", config_map(many), config_map())).splitlines()
    assert (len(lines), lines[0], lines[-1]) == (12, "the policy would have 1000 mistakes:", "and 990 more")


async def test_what_two_config_maps_define_is_a_mistake_of_the_second(stage: Stage) -> None:
    said = await stage.refusal("CREATE", config_map("version: 1\ndefaults: {user: {hard: {pods: 4}}}\n", "second"))
    assert said.startswith(
        "the policy would have a mistake:\nsecond/policy.yaml:2:18: defaults.user: already defined at p/"
    )


BINARY = (
    "p/policy.yaml: it is in binaryData, where no policy is read: it is not UTF-8 at byte 14: save it as UTF-8 and "
    "make the ConfigMap again"
)
TEXTLESS = {
    "emptied": (config_map(None), "p/data: it has no text: delete the ConfigMap, or put the policy back"),
    "a comment": (
        config_map("# all gone\n"),
        "p/policy.yaml:1:1: no policy in it; one that limits nobody says version: 1",
    ),
    "in binaryData": (
        config_map(None, binaryData={"policy.yaml": base64.b64encode(b"version: 1 # f\xfcr\n").decode()}),
        BINARY,
    ),
}


@pytest.mark.parametrize(("new", "why"), TEXTLESS.values(), ids=TEXTLESS)
async def test_a_config_map_without_a_policy_is_refused(stage: Stage, new: Json, why: str) -> None:
    assert await stage.refusal("UPDATE", new, config_map()) == f"the policy would have a mistake:\n{why}"
    assert await stage.refusal("UPDATE", {**new, "metadata": {**new["metadata"], "annotations": FORCE}}, config_map())


# Defaults of resources.


async def test_an_edit_of_a_catalogue_is_judged_as_any_other() -> None:
    text = "version: 1\nresources: {cpu: {default: 4}}\n"
    stage = Stage().stores(config_map(text)).uses(alice=3)

    assert await stage.update(config_map(text.replace("4", "3")), config_map(text)) == ALLOWED
    said = await stage.refusal("UPDATE", config_map(text.replace("4", "2")), config_map(text))
    assert said.startswith(
        "a limit would be below what is used: user/alice: requests.cpu 3 used or reserved, 2 by resources.cpu at "
        "p/policy.yaml:2, 1 too much"
    )
    answer = await stage.update(config_map("version: 1\nresources: {memory: {default: 4Gi}}\n"), config_map(text))
    assert answer["warnings"] == ["lifted: resources.cpu limits requests.cpu=4 no more, and nothing in its place does"]
    answer = await stage.update(config_map(text + "cluster: {hard: {pods: 9}}\n"), config_map(text))
    assert answer["warnings"] == ["p/policy.yaml:3:18: cluster.hard.pods: the catalogue under resources lacks it"]


# What is stored has mistakes already: it got in while no replica answered.


async def test_an_edit_beside_mistakes_is_accepted_and_told_that_it_is_not_in_force() -> None:
    stage = Stage().stores(config_map(), config_map(BAD, "q"))

    answer = await stage.update(config_map(TWO))

    told = "stored, and not in force because of a mistake that was there before; "
    told += "what is used is compared once none is left"
    assert answer["warnings"] == [told, MISTAKE.replace("p/", "q/", 1)]
    assert MISTAKE in await stage.refusal("UPDATE", config_map(BAD), config_map())


async def test_the_edit_that_mends_is_compared_with_what_is_in_force() -> None:
    stage = Stage().stores(config_map()).uses(alice=3)
    stage.stores(config_map(TWO), config_map(BAD, "q"))

    said = await stage.refusal("UPDATE", config_map(BOB, "q"), config_map(BAD, "q"))

    assert said.startswith(f"a limit would be below what is used: {ALICE_OVER}")


async def test_mistakes_may_be_mended_one_by_one_and_move_to_other_lines() -> None:
    two = BAD + "user: {}\n"
    stage = Stage().stores(config_map(two))
    assert len((await stage.update(config_map("# first\n" + BAD), config_map(two)))["warnings"]) == 2
    worse = await stage.refusal("UPDATE", config_map(two + "users2: {}\n"), config_map(two))
    assert worse.splitlines()[1:] == ["p/policy.yaml:4:1: users2: unknown field, did you mean users?"]


async def test_a_mistake_is_mended_where_no_policy_was_ever_in_force() -> None:
    stage = Stage().stores(config_map(BAD)).uses(alice=3)
    told = "no policy was in force, and so nothing is counted yet: userquota preflight tells who is over a limit"
    assert (await stage.update(config_map(TWO), config_map(BAD)))["warnings"] == [told]


# The end of a ConfigMap.


@pytest.mark.parametrize("new", [None, config_map(label=""), config_map(label="false")], ids=["gone", "none", "false"])
async def test_the_last_one_stays(stage: Stage, new: Json | None) -> None:
    operation = "DELETE" if new is None else "UPDATE"
    assert await stage.refusal(operation, new, config_map()) == LAST
    stage.stores(config_map(), config_map(BOB, "q"))
    assert (await stage.ask(operation, new, config_map()))["warnings"] == [
        "lifted: defaults.user limits requests.cpu=4 no more, and nothing in its place does"
    ]


async def test_where_no_policy_is_needed_the_last_one_may_go() -> None:
    stage = Stage(may_be_absent=True).stores(config_map()).uses(alice=3)
    assert (await stage.ask("DELETE", None, config_map()))["allowed"]


async def test_what_goes_with_its_namespace_is_not_held_back(stage: Stage) -> None:
    async def is_ending() -> bool:
        return True

    assert await stage.refusal("DELETE", None, config_map()) == LAST
    stage.edits.is_ending = is_ending
    assert await stage.ask("DELETE", None, config_map()) == ALLOWED
    unlabelled = config_map(label="")
    assert await stage.refusal("UPDATE", unlabelled, config_map()) == LAST


async def test_an_entry_that_goes_with_its_config_map_is_an_edit_as_any_other(stage: Stage) -> None:
    own = config_map("version: 1\nusers: {alice: {hard: {cpu: 8}}}\n", "own")
    stage.stores(config_map(TWO), own)

    said = await stage.refusal("DELETE", None, own)

    assert said == (
        f"a limit would be below what is used: {ALICE_OVER}. With it {WHAT_FOLLOWS}. To do it all the same, first edit "
        "it to say no more than version: 1, with the reason in the annotation userquota.dev/force"
    )


async def test_what_is_no_policy_is_not_looked_at(stage: Stage) -> None:
    ledger = config_map("anything", "userquota-ledger", label="")
    assert await stage.ask("CREATE", ledger) == ALLOWED
    assert await stage.update(config_map(BAD), namespace="red") == ALLOWED


async def test_an_edit_of_the_metadata_is_none_of_the_policy() -> None:
    stage = Stage().stores(config_map(BAD))
    stage.usage.trouble = "nothing is known"
    assert await stage.update(config_map(BAD, annotations={"x": "y"}), config_map(BAD)) == ALLOWED


async def test_a_label_that_is_added_makes_it_a_policy(stage: Stage) -> None:
    assert MISTAKE.replace("p/", "q/", 1) in await stage.refusal(
        "UPDATE", config_map(BAD, "q"), config_map(BAD, "q", label="")
    )


# Limits below what is used.


async def test_a_limit_below_what_is_used_is_refused_and_told_how_to_force_it(stage: Stage) -> None:
    said = await stage.refusal("UPDATE", config_map(TWO), config_map())
    assert said == f"a limit would be below what is used: {ALICE_OVER}. With it {WHAT_FOLLOWS}. {HOW}{KEEP}"
    assert stage.forced == []


async def test_who_keeps_the_former_limit_until_a_date_is_not_over_the_lower_one(stage: Stage) -> None:
    kept = TWO + "users: {alice: {hard: {cpu: 4}, until: 2027-04-01T00:00:00Z}}\n"
    assert await stage.update(config_map(kept)) == ALLOWED
    said = await stage.stores(config_map(kept)).refusal("UPDATE", config_map(TWO), config_map(kept))
    assert said.endswith(f"{HOW}{KEEP}")


async def test_that_is_told_of_limits_of_people_only(stage: Stage) -> None:
    for text in ("cluster: {hard: {cpu: 2}}\n", "groups: {ml: {members: [alice], perMember: {hard: {cpu: 2}}}}\n"):
        said = await stage.refusal("UPDATE", config_map(FOUR + text), config_map())
        assert said.endswith(f"{WHAT_FOLLOWS}. {HOW}")


async def test_of_many_the_furthest_are_told() -> None:
    stage = Stage().stores(config_map("version: 1\n")).uses(**{f"u{number:02}": number + 1 for number in range(40)})

    said = await stage.refusal("UPDATE", config_map(TWO), config_map("version: 1\n"))
    assert said.startswith("38 limits would be below what is used: user/u39: requests.cpu 40 used or reserved, 2 by")
    assert said.count("too much") == 10
    assert "; and 28 more. With it" in said

    warnings = (await stage.update(config_map(TWO, annotations=FORCE), config_map("version: 1\n")))["warnings"]
    assert warnings[0] == f"38 below what is used: {WHAT_FOLLOWS}"
    assert (len(warnings), warnings[-1]) == (8, "and 32 more")


async def test_a_forced_edit_is_accepted_told_and_recorded(stage: Stage) -> None:
    answer = await stage.update(config_map(TWO, annotations=FORCE))

    assert answer == {
        **ALLOWED,
        "warnings": [f"1 below what is used: {WHAT_FOLLOWS}", f"over a limit: {ALICE_OVER}"],
        "auditAnnotations": {"forced": "the budget was cut", "over": ALICE_OVER},
    }
    told = f"root forced an edit of the policy (the budget was cut): {ALICE_OVER}"
    assert stage.forced == [("p", "uid-of-p", told)]
    assert stage.recorded == {"edited-by": "root", "changed": "1 entry changed (defaults.user)"}
    assert stage.edited == []


async def test_a_dry_run_has_the_same_answer_and_is_not_recorded(stage: Stage) -> None:
    new = config_map(TWO, annotations=FORCE)
    assert await stage.update(new, dryRun=True) == await stage.update(new)
    assert await stage.update(config_map(TWO), dryRun=True) == await stage.update(config_map(TWO))
    assert len(stage.forced) == 1


# Who changed what.


async def test_an_accepted_edit_is_recorded_and_told_with_who_made_it(stage: Stage) -> None:
    text = "version: 1\nwarnAt: 80%\ndefaults: {user: {hard: {cpu: 3}}}\nusers: {bob: {hard: {pods: 9}}}\n"
    assert await stage.update(config_map(text)) == ALLOWED

    changed = "1 entry added (users.bob), 1 entry changed (defaults.user), 1 other setting changed (warnAt)"
    assert stage.recorded == {"edited-by": "root", "changed": changed}
    [(_, told)] = stage.edited
    assert told == f"root edited the policy: {changed}"
    assert (stage.forced, stage.refused) == ([], [])


async def test_what_many_entries_do_is_told_in_short(stage: Stage) -> None:
    many = "users: {" + ", ".join(f"u{number}: {{hard: {{pods: 1}}}}" for number in range(500)) + "}\n"
    await stage.update(config_map(FOUR + many))
    assert stage.recorded["changed"] == "500 entries added (users.u0, users.u1, users.u10, and 497 more)"
    await stage.update(config_map(f"# only a word\n{FOUR}"))
    assert stage.recorded["changed"] == "no entry or other setting changed"


async def test_the_same_edit_of_the_same_version_is_told_as_one_and_another_as_another(stage: Stage) -> None:
    for cpu in ("3", "3", "3.5"):
        await stage.update(config_map(FOUR.replace("4", cpu)))
    newer = config_map()
    newer["metadata"]["resourceVersion"] = "6"
    await stage.update(config_map(FOUR.replace("4", "3")), newer)
    first, again, other, later = (digest for digest, _ in stage.edited)
    assert first == again
    assert len({first, other, later}) == 3


async def test_a_dry_run_and_an_edit_of_the_metadata_are_not_told(stage: Stage) -> None:
    await stage.update(config_map(FOUR.replace("4", "3")), dryRun=True)
    assert stage.recorded == {"edited-by": "root", "changed": "1 entry changed (defaults.user)"}
    await stage.update(config_map(TWO), dryRun=True)
    await stage.update(config_map(annotations={"x": "y"}))
    assert (stage.edited, stage.refused) == ([], [])
    assert stage.recorded == {}


async def test_a_refused_edit_is_recorded_and_told_with_who_asked_for_it(stage: Stage) -> None:
    for new in (TWO, BAD):
        await stage.refusal("UPDATE", config_map(new), config_map())
        assert stage.recorded == {"edited-by": "root"}
    below, mistaken = stage.refused
    assert below[:2] == mistaken[:2] == ("p", "root")
    assert below[2].startswith(
        f"an edit of the policy by root was refused: a limit would be below what is used: {ALICE_OVER}"
    )
    assert mistaken[2].startswith(
        "an edit of the policy by root was refused: the policy would have a mistake:?p/policy.yaml"
    )
    assert stage.edited == []


async def test_what_could_not_be_judged_is_not_told(stage: Stage) -> None:
    stage.usage.trouble = "the pods are not all known yet"
    await stage.update(config_map(FOUR.replace("4", "3")))
    assert (stage.recorded, stage.edited, stage.refused) == ({}, [], [])


async def test_an_edit_that_is_stored_and_not_in_force_is_told_so() -> None:
    stage = Stage().stores(config_map(), config_map(BAD, "q"))
    await stage.update(config_map(TWO))
    changed = "stored, and not in force because of a mistake that was there before"
    assert stage.recorded == {"edited-by": "root", "changed": changed}
    assert [told for _, told in stage.edited] == [f"root edited the policy: {changed}"]


async def test_the_first_policy_is_told_with_all_its_entries() -> None:
    stage = Stage().stores()
    await stage.ask("CREATE", config_map())
    assert [told for _, told in stage.edited] == ["root edited the policy: 1 entry added (defaults.user)"]


async def test_a_reason_counts_for_one_edit(stage: Stage) -> None:
    """GitOps keeps it for ever: the next edit needs another one."""
    said = await stage.refusal("UPDATE", config_map(TWO, annotations=FORCE), config_map(annotations=FORCE))
    assert said.endswith(
        "The annotation userquota.dev/force was there before this edit: to do it all the same, give another reason"
        + KEEP
    )
    other = {"userquota.dev/force": "the budget was cut again"}
    assert (await stage.update(config_map(TWO, annotations=other), config_map(annotations=FORCE)))["allowed"]


@pytest.mark.parametrize("reason", ["", "  ", "a\nb", "x" * 201], ids=["empty", "blank", "two lines", "too long"])
async def test_a_reason_is_one_line(stage: Stage, reason: str) -> None:
    annotations = {"userquota.dev/force": reason}
    assert await stage.refusal("UPDATE", config_map(TWO, annotations=annotations), config_map()) == (
        "metadata.annotations[userquota.dev/force]: expected a reason of 1 to 200 characters on one line"
    )


async def test_a_reason_that_is_not_needed_is_not_recorded(stage: Stage) -> None:
    assert await stage.update(config_map(FOUR.replace("4", "3"), annotations=FORCE)) == ALLOWED
    assert stage.forced == []


async def test_a_reason_forces_no_mistake(stage: Stage) -> None:
    assert MISTAKE in await stage.refusal("UPDATE", config_map(BAD, annotations=FORCE), config_map())


async def test_an_edit_is_compared_with_the_one_that_the_watch_has_not_shown_yet(stage: Stage) -> None:
    """alice was put over her limit by the edit before."""
    assert await stage.update(config_map(TWO + "users: {bob: {hard: {pods: 1}}}\n"), config_map(TWO)) == ALLOWED


async def test_warnings_are_short_and_on_one_line(stage: Stage) -> None:
    name = "ü" * 300
    old = config_map(f'version: 1\nusers: {{"{name}": {{hard: {{cpu: 1}}}}, "x\\ny": {{hard: {{cpu: 1}}}}}}\n')
    stage.stores(old)

    warnings = (await stage.update(config_map("version: 1\n"), old))["warnings"]

    assert len(warnings) == 2
    assert all(len(each.encode()) <= 256 and each.isprintable() for each in warnings)


HALF_A_BYTE = FOUR.replace("cpu: 4", "cpu: 4, memory: 500m")


async def test_what_is_surely_not_meant_is_told_once(stage: Stage) -> None:
    [note] = (await stage.update(config_map(HALF_A_BYTE)))["warnings"]
    assert note.startswith("p/policy.yaml:2:")
    assert "defaults.user.hard.memory: " in note

    noted = stage.stores(config_map(HALF_A_BYTE))
    moved = config_map(f"# on another line\n{HALF_A_BYTE}")
    assert await noted.update(moved, config_map(HALF_A_BYTE)) == ALLOWED


async def test_a_device_is_noted_by_what_objects_ask_for(stage: Stage) -> None:
    text = FOUR.replace("cpu: 4", "cpu: 4, acme.example/gpus: 4")
    assert await stage.update(config_map(text)) == ALLOWED
    stage.usage.asked_for = frozenset({"acme.example/gpu"})
    [note] = (await stage.update(config_map(text)))["warnings"]
    assert "acme.example/gpu" in note


async def test_an_entry_of_a_namespace_that_the_webhooks_leave_out_is_noted(stage: Stage) -> None:
    text = FOUR + "namespaces: {net: {hard: {pods: 1}}}\n"
    assert await stage.update(config_map(text)) == ALLOWED
    stage.edits.exempt = lambda: frozenset({"net"})
    [note] = (await stage.update(config_map(text)))["warnings"]
    assert note.startswith("p/policy.yaml:3:19: namespaces.net: the webhooks leave namespace net out")


async def test_who_is_over_a_limit_that_only_warns_is_told_and_refuses_nothing(stage: Stage) -> None:
    told = await stage.uses(alice=3).update(config_map(TWO.replace("hard", "mode: warn, hard")))
    assert (told["allowed"], told["warnings"][-1]) == (True, f"over a limit that only warns: {ALICE_OVER}")

    staged = Stage().stores(config_map(TWO.replace("hard", "mode: warn, hard"))).uses(alice=3)
    again = config_map(TWO.replace("hard", "mode: warn, hard") + "cluster: {hard: {cpu: 99}}\n")
    assert await staged.update(again, config_map(TWO.replace("hard", "mode: warn, hard"))) == ALLOWED


async def test_what_is_not_compared_is_told(stage: Stage) -> None:
    answer = await stage.update(config_map(FOUR + "cluster: {hard: {count/services: 1}}\n"))
    told = "not compared with what exists, as it is counted only under this policy: count/services"
    assert answer == {**ALLOWED, "warnings": [told]}


# What is not known is a denial: the API server takes an error of the call for an allow.


async def test_where_usage_is_not_known_an_edit_waits_or_is_forced(stage: Stage) -> None:
    stage.usage.trouble = "the pods are not all known yet"

    answer = await stage.update(config_map(FOUR.replace("4", "3")))
    assert (answer["status"]["code"], answer["status"]["reason"]) == (503, "ServiceUnavailable")
    assert answer["status"]["message"] == (
        f"it cannot be told yet who is over a limit: the pods are not all known yet: try again. {HOW}"
    )
    assert MISTAKE in await stage.refusal("UPDATE", config_map(BAD), config_map())

    answer = await stage.update(config_map(TWO, annotations=FORCE))
    assert answer["warnings"] == ["forced, and it is not known who is over a limit: the pods are not all known yet"]
    ((_, _, told),) = stage.forced
    assert told.endswith("(the budget was cut): it was not known who is over a limit: the pods are not all known yet")


async def test_where_the_policy_is_not_known_an_edit_waits() -> None:
    answer = await Stage().update(config_map(TWO, annotations=FORCE))
    assert (answer["allowed"], answer["status"]["code"]) == (False, 503)
    assert answer["status"]["message"] == (
        "the edit of the policy cannot be judged yet: the ConfigMaps of the policy are not all known yet: try again"
    )


async def test_the_first_policy_of_a_cluster_is_read_and_not_compared() -> None:
    stage = Stage().stores()
    stage.usage.trouble = "nothing is counted without a policy"
    assert (await stage.ask("CREATE", config_map()))["allowed"]
    assert MISTAKE in await stage.refusal("CREATE", config_map(BAD))


async def test_out_of_time_is_a_denial(stage: Stage) -> None:
    many = "version: 1\nusers:\n" + "".join(f"  user-{number}: {{hard: {{cpu: 1}}}}\n" for number in range(2000))
    body = a_review("configmaps", "UPDATE", object=config_map(many), oldObject=config_map(), namespace=NAMESPACE)

    answer = await stage.edits.judge(request_of(body), deadline=stage.clock.monotonic() + 0.01)

    assert not answer.allowed
    assert answer.status is not None
    assert (answer.status.code, answer.status.message) == (
        503,
        "the edit of the policy could not be judged in time: try again",
    )


async def test_what_cannot_be_read_is_a_denial(stage: Stage) -> None:
    answer = await stage.update({**config_map(), "data": 1})
    assert (answer["allowed"], answer["status"]["code"]) == (False, 500)


async def test_edits_are_judged_one_at_a_time_while_others_are_answered(stage: Stage) -> None:
    many = "version: 1\nusers:\n" + "".join(f"  user-{number}: {{hard: {{cpu: 1}}}}\n" for number in range(1000))
    asked = [asyncio.create_task(stage.update(config_map(many))) for _ in range(3)]
    turns = 0
    while not all(each.done() for each in asked):
        await asyncio.sleep(0)
        turns += 1
    assert [(await each)["allowed"] for each in asked] == [True] * 3
    assert turns > 100


H100 = "nodeClasses: {h100: {nodes: {matchLabels: {gpu: h100}}}}\n"
PROMISED = "commitments: {c: {user: alice, nodeClass: h100, amounts: {gpu: 3}}}\n"


async def test_more_than_nodes_have_is_promised_only_with_a_reason(stage: Stage) -> None:
    stage.usage.known_nodes = (NodeFacts({"gpu": "h100"}, (("requests.nvidia.com/gpu", 2 * 10**9),)),)

    refusal = await stage.refusal("UPDATE", config_map(FOUR + H100 + PROMISED), config_map())
    assert refusal.startswith("more would be promised than nodes have: h100: gpu 3 used or promised from ")
    assert "2 there, 1 too much. To do it all the same, say why" in refusal
    forced = await stage.update(config_map(FOUR + H100 + PROMISED, annotations=FORCE))
    assert forced["allowed"]
    assert forced["warnings"][0].startswith("more is promised than nodes have: h100: gpu 3 used or promised")
    assert len(stage.forced) == 1


async def test_nothing_more_is_promised_while_nodes_are_not_known(stage: Stage) -> None:
    stage.stores(config_map(FOUR + H100 + PROMISED))
    more = FOUR + H100 + PROMISED.replace("3", "4")

    answer = await stage.update(config_map(more), config_map(FOUR + H100 + PROMISED))
    assert (answer["allowed"], answer["status"]["code"]) == (False, 503)
    assert answer["status"]["message"] == (
        "it cannot be told yet whether nodes have what is promised: the nodes are not all known, or the watch of them "
        f"is silent: try again. {HOW}"
    )
    illegal = PROMISED.replace("3}", "4}, state: planned")
    assert "it was confirmed, which planned cannot follow" in await stage.refusal(
        "UPDATE", config_map(FOUR + H100 + illegal), config_map(FOUR + H100 + PROMISED)
    )
    assert (await stage.update(config_map(FOUR + H100), config_map(FOUR + H100 + PROMISED)))["allowed"]
    stage.ledger.policy_seen({"p": StoredVersion("uid-of-p", 6)}, version=6)  # that edit is over
    moved = config_map(f"{FOUR}{H100}# of alice\n{PROMISED}")
    assert (await stage.update(moved, config_map(FOUR + H100 + PROMISED)))["allowed"]
    forced = await stage.update(config_map(more, annotations=FORCE), config_map(FOUR + H100 + PROMISED))
    assert "forced, and it is not known whether nodes have what is promised: the nodes" in forced["warnings"][-1]
    assert "it was not known whether nodes have what is promised" in stage.forced[0][2]


# Edits of what is promised are judged while nobody decides on that.

TWO_GPUS = (NodeFacts({"gpu": "h100"}, (("requests.nvidia.com/gpu", 2 * 10**9),)),)
ONE_PROMISED = FOUR + H100 + PROMISED.replace("3", "1")
TWO_PROMISED = FOUR + H100 + PROMISED.replace("3", "2")


@dataclass
class Marks:
    """Port `PromiseOrdering` over the ledger of a stage: it knows what was marked, and what happens then."""

    stage: Stage
    then: Callable[[], object] = lambda: None
    made: list[MarkedEdit] = field(default_factory=list)
    since: list[datetime | None] = field(default_factory=list)
    trouble: str = ""

    def __post_init__(self) -> None:
        self.ledger = self.stage.ledger
        self.stage.edits.order = self
        self.policy_in_force, self.policy_seen = self.ledger.policy_in_force, self.ledger.policy_seen
        self.time, self.at_rest = self.ledger.time, self.ledger.at_rest

    async def mark(self, edit: MarkedEdit, *, since: datetime | None, deadline: float) -> str:
        if self.trouble:
            raise UnavailableError("ledger-write", self.trouble)
        token = await self.ledger.mark(edit, since=since, deadline=deadline)
        self.made.append(edit)
        self.since.append(since)
        self.then()
        return token

    async def unmark(self, token: str) -> None:
        await self.ledger.unmark(token)

    def require_no_open_edit(self) -> None:
        self.ledger.require_no_open_edit()

    @property
    def is_open(self) -> bool:
        try:
            self.require_no_open_edit()
        except PromisesChangingError:
            return False
        return True


@pytest.fixture
def promising(stage: Stage) -> Stage:
    """One GPU of two is promised to alice, who uses none."""
    stage.usage.known_nodes = TWO_GPUS
    return stage.stores(config_map(ONE_PROMISED))


def takes_a_gpu(stage: Stage, owner: str = "bob") -> None:
    amounts: tuple[tuple[str, Amount], ...] = (("requests.nvidia.com/gpu", 10**9),)
    place = scopes.valued(scopes.NODE_CLASS, ["h100"])
    stage.index.observe(ObjectKey("pods", "red", "new"), Row("uid-of-new", 9, Payer(owner), amounts, place))


async def test_an_edit_of_what_is_promised_holds_decisions_up_until_it_is_in_force(promising: Stage) -> None:
    marks = Marks(promising)

    assert (await promising.update(config_map(TWO_PROMISED), config_map(ONE_PROMISED)))["allowed"]

    assert marks.made == [MarkedEdit("p", "uid-of-p", 5, was_part=True)]
    assert not marks.is_open
    stored = config_map(TWO_PROMISED)
    stored["metadata"]["resourceVersion"] = "8"
    promising.maps.seen(msgspec.convert(stored, PolicyConfigMap, strict=False))
    assert marks.is_open


@pytest.mark.parametrize(
    "new",
    [
        ONE_PROMISED.replace("cpu: 4", "cpu: 5"),
        f"{FOUR}{H100}# of alice\n{PROMISED.replace('3', '1')}",
    ],
    ids=["another limit", "other words"],
)
async def test_other_edits_hold_nobody_up(promising: Stage, new: str) -> None:
    marks = Marks(promising)

    assert (await promising.update(config_map(new), config_map(ONE_PROMISED)))["allowed"]

    assert (marks.made, marks.is_open) == ([], True)


@pytest.mark.parametrize(
    "new",
    [
        FOUR + H100,
        ONE_PROMISED.replace("alice", "bob"),
        ONE_PROMISED.replace("gpu: h100}}", "gpu: a100}}"),
        ONE_PROMISED.replace("{nodes:", "{overcommit: {gpu: 2}, nodes:"),
    ],
    ids=["one less", "another holder", "other nodes", "overcommit"],
)
async def test_whatever_changes_what_is_promised_holds_decisions_up(promising: Stage, new: str) -> None:
    marks = Marks(promising)

    assert (await promising.update(config_map(new, annotations=FORCE), config_map(ONE_PROMISED)))["allowed"]

    assert len(marks.made) == 1


async def test_what_others_took_before_they_were_held_up_counts(promising: Stage) -> None:
    marks = Marks(promising, then=lambda: takes_a_gpu(promising))

    refusal = await promising.refusal("UPDATE", config_map(TWO_PROMISED), config_map(ONE_PROMISED))

    assert refusal.startswith("more would be promised than nodes have: h100: gpu 3 used or promised from ")
    assert marks.is_open  # an edit that is refused holds nobody up


async def test_a_forced_edit_says_what_others_took_before_they_were_held_up(promising: Stage) -> None:
    marks = Marks(promising, then=lambda: takes_a_gpu(promising))

    forced = await promising.update(config_map(TWO_PROMISED, annotations=FORCE), config_map(ONE_PROMISED))

    assert forced["allowed"]
    assert forced["warnings"][0].startswith("more is promised than nodes have: h100: gpu 3 used or promised")
    assert len(promising.forced) == 1
    assert not marks.is_open


async def test_an_edit_that_is_refused_at_once_holds_nobody_up(promising: Stage) -> None:
    marks = Marks(promising)

    await promising.refusal("UPDATE", config_map(FOUR + H100 + PROMISED), config_map(ONE_PROMISED))

    assert marks.made == []


async def test_a_dry_run_of_an_edit_holds_nobody_up(promising: Stage) -> None:
    marks = Marks(promising)

    answer = await promising.update(config_map(TWO_PROMISED), config_map(ONE_PROMISED), dryRun=True)

    assert answer["allowed"]
    assert marks.made == []


async def test_an_edit_that_cannot_be_marked_takes_a_reason(promising: Stage) -> None:
    marks = Marks(promising, trouble="the ledger cannot be written")

    answer = await promising.update(config_map(TWO_PROMISED), config_map(ONE_PROMISED))
    assert (answer["allowed"], answer["status"]["code"]) == (False, 503)
    assert "the edit of the policy cannot be judged yet: the ledger cannot be written" in answer["status"]["message"]
    forced = await promising.update(config_map(TWO_PROMISED, annotations=FORCE), config_map(ONE_PROMISED))
    assert forced["allowed"]
    why = "the ledger cannot be written"
    told = "forced, and it is not known whether others take what it promises before it is in force"
    assert forced["warnings"] == [f"{told}: {why}"]
    assert len(promising.forced) == 1
    assert marks.made == []


@pytest.mark.parametrize("what", ["usage", "nodes"])
async def test_what_is_not_known_any_more_is_told(promising: Stage, what: str) -> None:
    def forget() -> None:
        if what == "usage":
            promising.usage.trouble = "the pods are not all known yet"
        else:
            promising.usage.known_nodes = None

    marks = Marks(promising, then=forget)

    answer = await promising.update(config_map(TWO_PROMISED), config_map(ONE_PROMISED))

    assert (answer["allowed"], answer["status"]["code"]) == (False, 503)
    assert "it cannot be told yet whether nodes have what is promised: the" in answer["status"]["message"]
    assert marks.is_open


async def test_a_create_and_a_deletion_hold_decisions_up_as_well(promising: Stage) -> None:
    marks = Marks(promising)

    other = "version: 1\ncommitments: {d: {user: bob, nodeClass: h100, amounts: {gpu: 1}}}\n"
    assert (await promising.ask("CREATE", config_map(other, "second")))["allowed"]
    promising.stores(config_map(FOUR + H100), config_map(other, "second"))
    assert (await promising.ask("DELETE", None, config_map(other, "second")))["allowed"]

    assert marks.made == [
        MarkedEdit("second", "uid-of-second", 0, was_part=False),
        MarkedEdit("second", "uid-of-second", 5, was_part=True),
    ]


async def test_a_create_of_a_name_that_is_taken_is_answered_as_the_api_server_would(promising: Stage) -> None:
    marks = Marks(promising)
    another = config_map(TWO_PROMISED)
    another["metadata"]["uid"] = "another"
    promising.edits.stored_policies = policies = FakeStoredPolicies({"p": StoredPolicyMap("uid-of-p", 5)})

    answer = await promising.ask("CREATE", another)

    assert (answer["status"]["code"], answer["status"]["reason"]) == (409, "AlreadyExists")
    assert answer["status"]["message"] == 'configmaps "p" already exists'
    assert marks.made == []
    policies.stored.clear()  # it was deleted, which the watch has not shown
    assert (await promising.ask("CREATE", another))["allowed"]
    assert len(marks.made) == 1


async def test_an_edit_is_judged_by_what_has_ended(promising: Stage) -> None:
    text = ONE_PROMISED.replace("amounts: {gpu: 1}", "amounts: {gpu: 1}, until: 2020-01-01T00:00:00Z")
    promising.stores(config_map(text))
    marks = Marks(promising)

    await promising.update(config_map(text.replace("alice", "bob")), config_map(text))

    assert marks.since == [datetime(2020, 1, 1, tzinfo=UTC)]


async def test_edits_of_what_is_promised_are_judged_one_after_another(promising: Stage) -> None:
    """The second is judged beside the first: each alone could be kept, both cannot."""
    Marks(promising)
    assert (await promising.update(config_map(TWO_PROMISED), config_map(ONE_PROMISED)))["allowed"]
    other = "version: 1\ncommitments: {d: {user: bob, nodeClass: h100, amounts: {gpu: 1}}}\n"

    asking = asyncio.create_task(promising.ask("CREATE", config_map(other, "second")))
    await asyncio.sleep(0.05)
    assert not asking.done()
    stored = config_map(TWO_PROMISED)
    stored["metadata"]["resourceVersion"] = "8"
    promising.maps.seen(msgspec.convert(stored, PolicyConfigMap, strict=False))

    message = (await asking)["status"]["message"]
    assert message.startswith("more would be promised than nodes have: h100: gpu 3 used or promised from ")


@pytest.mark.parametrize("annotations", [None, FORCE], ids=["without a reason", "by force"])
async def test_an_edit_waits_for_another_one_until_its_time_is_over(
    promising: Stage, annotations: dict[str, str] | None
) -> None:
    marks = Marks(promising)
    assert (await promising.update(config_map(TWO_PROMISED), config_map(ONE_PROMISED)))["allowed"]
    new = config_map("version: 1\n", "second", annotations=annotations)
    old = config_map("version: 1\ncommitments: {d: {user: bob, nodeClass: h100, amounts: {gpu: 1}}}\n", "second")
    promising.stores(config_map(ONE_PROMISED), old)

    asking = asyncio.create_task(promising.update(new, old))
    await asyncio.sleep(0.05)
    assert not asking.done()
    promising.clock.pass_by(2.5)

    answer = await asking
    assert answer["allowed"] == (annotations is not None)
    assert len(marks.made) == 1


async def test_an_edit_by_which_a_config_map_becomes_a_part_is_marked_as_such(promising: Stage) -> None:
    marks = Marks(promising)
    other = "version: 1\ncommitments: {d: {user: bob, nodeClass: h100, amounts: {gpu: 1}}}\n"

    labelled = await promising.update(config_map(other, "second"), config_map(other, "second", label=""))

    assert labelled["allowed"]
    assert marks.made == [MarkedEdit("second", "uid-of-second", 5, was_part=False)]


async def test_an_edit_is_judged_beside_what_others_have_become_meanwhile(promising: Stage) -> None:
    """What another replica has judged may come into force after this edit was read, and before it is marked."""
    other = "version: 1\ncommitments: {d: {user: bob, nodeClass: h100, amounts: {gpu: 1}}}\n"

    def another() -> None:
        marks.then = lambda: None
        promising.maps.seen(msgspec.convert(config_map(other, "second"), PolicyConfigMap, strict=False))

    marks = Marks(promising, then=another)

    refusal = await promising.refusal("UPDATE", config_map(TWO_PROMISED), config_map(ONE_PROMISED))

    assert refusal.startswith("more would be promised than nodes have: h100: gpu 3 used or promised from ")
    assert marks.is_open


async def test_what_is_not_answered_in_time_may_be_stored_and_stays_marked(promising: Stage) -> None:
    def late() -> None:
        promising.clock.pass_by(10)
        promising.usage.trouble = "the pods are not all known yet"

    marks = Marks(promising, then=late)
    promising.edits.usage = LateUsage(promising.usage)

    answer = await promising.update(config_map(TWO_PROMISED), config_map(ONE_PROMISED))

    assert not answer["allowed"]
    assert not marks.is_open


@dataclass
class LateUsage:
    """Port `KnownUsage`, that raises what no port should: the judgement fails."""

    usage: FakeUsage

    def holdings(self) -> Holdings:
        if self.usage.trouble:
            raise TimeoutError
        return self.usage.holdings()

    def is_counted(self, resource: str) -> bool:
        return self.usage.is_counted(resource)

    def devices(self) -> frozenset[str]:
        return self.usage.devices()

    def nodes(self) -> tuple[NodeFacts, ...] | None:
        return self.usage.nodes()


# Where nodes have too little, an edit may cover use that exists.

COVERED = ONE_PROMISED.replace("commitments: {", "commitments: {d: {user: bob, nodeClass: h100, amounts: {gpu: 2}}, ")


@pytest.fixture
def full(promising: Stage) -> Stage:
    """Bob uses two GPUs of one node that has none any more; alice, to whom one is promised, uses none."""
    promising.usage.known_nodes = (NodeFacts({"gpu": "h100"}, (("requests.nvidia.com/gpu", 0),)),)
    place = scopes.valued(scopes.NODE_CLASS, ["h100"])
    amounts: tuple[tuple[str, Amount], ...] = (("requests.nvidia.com/gpu", 10**9),)
    for name in ("a", "b"):
        key = ObjectKey("pods", "red", name)
        promising.index.observe(key, Row(f"uid-of-{name}", 9, Payer("bob"), amounts, place))
        promising.objects.stored[key] = StoredVersion(f"uid-of-{name}", 9)
    return promising


async def test_what_only_covers_use_that_exists_is_promised_where_nodes_are_full(full: Stage) -> None:
    assert (await full.update(config_map(COVERED), config_map(ONE_PROMISED)))["allowed"]
    assert full.objects.asked == ["a", "b"]


@pytest.mark.parametrize("is_another", [False, True], ids=["it is gone", "another has its name"])
async def test_use_that_has_gone_is_not_covered_although_the_watch_shows_it(full: Stage, is_another: bool) -> None:
    key = ObjectKey("pods", "red", "b")
    del full.objects.stored[key]
    if is_another:
        full.objects.stored[key] = StoredVersion("another", 10)

    refusal = await full.refusal("UPDATE", config_map(COVERED), config_map(ONE_PROMISED))

    assert refusal.startswith("more would be promised than nodes have: h100: gpu 3 used or promised from ")


async def test_use_that_may_never_be_is_not_covered(full: Stage) -> None:
    key = ObjectKey("pods", "red", "b")
    row = full.index.row(key)
    assert row is not None
    full.index.forget(key, row.uid, 10)
    full.index.reserve(Reservation(key, "uid-of-b", 0, row.payer, row.amounts, row.scopes))

    refusal = await full.refusal("UPDATE", config_map(COVERED), config_map(ONE_PROMISED))

    assert refusal.startswith("more would be promised than nodes have: h100: gpu 3 used or promised from ")


async def test_nothing_is_promised_by_use_that_cannot_be_looked_up(full: Stage) -> None:
    full.objects.trouble = "the API server does not answer"

    answer = await full.update(config_map(COVERED), config_map(ONE_PROMISED))

    assert (answer["allowed"], answer["status"]["code"]) == (False, 503)
    assert "the API server does not answer" in answer["status"]["message"]


async def test_what_would_be_looked_up_has_a_bound(full: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(covered_use, "_MOST_LOOKED_UP", 1)

    answer = await full.update(config_map(COVERED), config_map(ONE_PROMISED))

    assert "it covers 2 objects, and 1 at most are looked up: make several edits" in answer["status"]["message"]
