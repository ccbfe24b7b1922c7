"""What a hand-over does when it is stopped half-way: everything goes back, and what does not is told of."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest

from webhook.attribution.handover import Owned, Plan
from webhook.kinds.evaluator import AnyKind
from webhook.kinds.pods import PODS
from webhook.kube.owner_changes import Answer, Changed, NewOwner, OwnerChanges
from webhook.ports import UnavailableError
from webhook.quota.objects import Annotations, ObjectMeta
from webhook.quota.subject import NOBODY, Payer
from webhook.wiring.handover import AllOf, Handover, Outcome, State, carry_out

ALICE, BOB = Payer("alice", ("ml",)), NewOwner("bob")
SILENCE = UnavailableError("api-server", "no answer")
FULL = Changed(Answer.REFUSED, "no room")
DONE = Changed(Answer.DONE)

Asked = tuple[str, str]
"""The name of an object and who is to own it; `bob?` in a dry run."""


class Script(OwnerChanges):
    """Answers as *answers* say, and does everything else; remembers what was done."""

    def __init__(self, answers: Mapping[Asked, Changed | UnavailableError]) -> None:
        self._answers = answers
        self.done: list[Asked] = []
        self.groups: dict[Asked, Any] = {}

    async def change(
        self,
        kind: AnyKind,  # noqa: ARG002
        meta: ObjectMeta,
        to: NewOwner,
        *,
        expected: str,
        dry_run: bool = False,
    ) -> Changed:
        asked = (meta.name, f"{to.owner}?" if dry_run else to.owner)
        assert expected == ("bob" if to.owner != "bob" else "alice" if meta.annotations else "")
        answer = self._answers.get(asked, DONE)
        if isinstance(answer, UnavailableError):
            raise answer
        if answer.answer is Answer.DONE and not dry_run:
            self.done.append(asked)
            self.groups[asked] = to.groups
        return answer


def owned(name: str, payer: Payer = ALICE) -> Owned:
    stamp = None if payer == NOBODY else Annotations(owner=payer.owner, groups="[]")
    return Owned(PODS, ObjectMeta(name, namespace="red", uid=name, annotations=stamp), payer)


def looks(*plans: Plan | UnavailableError) -> Callable[[], Awaitable[Plan]]:
    """Return what finds one of *plans* after the other, and then nothing."""
    waiting = list(plans)

    async def look() -> Plan:
        found = waiting.pop(0) if waiting else Plan()
        if isinstance(found, UnavailableError):
            raise found
        return found

    return look


def plan(*names: str) -> Plan:
    return Plan(tuple(owned(name) for name in names))


def states(outcome: Outcome) -> list[tuple[str, State, str]]:
    return [(each.owned.meta.name, each.state, each.text) for each in outcome.results]


async def carried_out(script: Script, *plans: Plan | UnavailableError, dry_run: bool = False) -> Outcome:
    return await carry_out(Handover(target=AllOf("alice"), to=BOB, dry_run=dry_run), looks(*plans), script)


REFUSED_IN_B: tuple[str, State, str] = ("b", State.REFUSED, "no room")
GOES_BACK: dict[str, tuple[dict[Asked, Changed | UnavailableError], list[tuple[str, State, str]], str]] = {
    "the last first": (
        {("c", "bob"): FULL},
        [("a", State.HANDED_BACK, ""), ("b", State.HANDED_BACK, ""), ("c", State.REFUSED, "no room")],
        "",
    ),
    "and the rest is not tried": (
        {("b", "bob"): FULL},
        [("a", State.HANDED_BACK, ""), REFUSED_IN_B, ("c", State.NOT_MOVED, "")],
        "",
    ),
    "if the former owner still has room": (
        {("b", "bob"): FULL, ("a", "alice"): Changed(Answer.REFUSED, "her room is taken")},
        [("a", State.STAYS, "her room is taken"), REFUSED_IN_B, ("c", State.NOT_MOVED, "")],
        "",
    ),
    "if it is still there": (
        {("b", "bob"): FULL, ("a", "alice"): Changed(Answer.GONE)},
        [("a", State.GONE, ""), REFUSED_IN_B, ("c", State.NOT_MOVED, "")],
        "",
    ),
    "if nobody else has got it": (
        {("b", "bob"): FULL, ("a", "alice"): Changed(Answer.OTHER_OWNER, "dave")},
        [("a", State.LEFT, "dave"), REFUSED_IN_B, ("c", State.NOT_MOVED, "")],
        "",
    ),
    "what had no answer goes back, too": (
        {("b", "bob"): SILENCE},
        [("a", State.HANDED_BACK, ""), ("b", State.NOT_MOVED, "no answer"), ("c", State.NOT_MOVED, "")],
        "no answer",
    ),
    "without any answer nothing is known of the one, and the others stay": (
        {("c", "bob"): SILENCE, ("c", "alice"): SILENCE},
        [("a", State.STAYS, "no answer"), ("b", State.STAYS, "no answer"), ("c", State.UNKNOWN, "no answer")],
        "no answer",
    ),
}


@pytest.mark.parametrize(("answers", "result", "trouble"), GOES_BACK.values(), ids=GOES_BACK.keys())
async def test_what_was_moved_goes_back(
    answers: dict[Asked, Changed | UnavailableError], result: list[tuple[str, State, str]], trouble: str
) -> None:
    script = Script(answers)

    outcome = await carried_out(script, plan("a", "b", "c"))

    assert states(outcome) == result
    assert outcome.trouble == trouble
    back = [name for name, to in script.done if to == "alice"]
    assert back == sorted(back, reverse=True)
    assert {script.groups[name, "alice"] for name in back} <= {("ml",)}


async def test_what_nobody_owned_goes_back_to_nobody() -> None:
    outcome = await carried_out(Script({("b", "bob"): FULL}), Plan((owned("a", NOBODY), owned("b", NOBODY))))

    assert states(outcome) == [("a", State.HANDED_BACK, ""), REFUSED_IN_B]


async def test_everything_is_asked_for_before_anything_moves_and_every_refusal_is_told() -> None:
    script = Script({("a", "bob?"): FULL, ("c", "bob?"): FULL})

    outcome = await carried_out(script, Plan((owned("a"), owned("b"), owned("c")), (owned("d"),)))

    assert states(outcome) == [
        ("a", State.REFUSED, "no room"),
        ("b", State.NOT_MOVED, ""),
        ("c", State.REFUSED, "no room"),
        ("d", State.LEFT, "alice"),
    ]
    assert (outcome.is_refused, script.done) == (True, [])


async def test_without_an_answer_to_what_is_asked_nothing_moves() -> None:
    script = Script({("b", "bob?"): SILENCE})

    with pytest.raises(UnavailableError):
        await carried_out(script, plan("a", "b"))

    assert script.done == []


async def test_a_dry_run_only_asks() -> None:
    script = Script({("b", "bob?"): FULL})

    outcome = await carried_out(script, plan("a", "b"), dry_run=True)

    assert states(outcome) == [("a", State.WOULD_MOVE, ""), REFUSED_IN_B]
    assert script.done == []


async def test_what_was_made_meanwhile_moves_as_well() -> None:
    script = Script({})

    outcome = await carried_out(script, plan("a", "b"), plan("new", "b"), plan("newer"), plan("too-new"))

    assert script.done == [(name, "bob") for name in ("a", "b", "new", "newer")]
    assert {each.state for each in outcome.results} == {State.MOVED}


async def test_what_was_made_meanwhile_and_does_not_fit_hands_everything_back() -> None:
    outcome = await carried_out(Script({("new", "bob"): FULL}), plan("a"), plan("new"))

    assert states(outcome) == [("a", State.HANDED_BACK, ""), ("new", State.REFUSED, "no room")]


async def test_where_it_cannot_be_looked_again_what_moved_stays_moved() -> None:
    outcome = await carried_out(Script({}), plan("a"), SILENCE)

    assert states(outcome) == [("a", State.MOVED, "")]
    assert outcome.trouble == "what was made meanwhile may be left: no answer"
