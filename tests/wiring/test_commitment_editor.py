"""Changes of commitments over a fake store: what is written, tried again, refused, and whom a queue serves."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from tests.wiring.commitment_stage import ADVICE, CLASSES, DAY, NOW, OF_AN_ADMIN, A, B, Store, editor, named, promised
from webhook.documents.kept_policy import KeptPolicy
from webhook.ports import UnavailableError
from webhook.quota import commitment_changes as changes
from webhook.quota.commitment_changes import ByName, ChangeError
from webhook.quota.commitments import Commitment, Pool, State
from webhook.quota.quantity import NANOS
from webhook.quota.resources import Amount
from webhook.quota.subject import Subject
from webhook.quota.transfer_offer import TransferOffer, digest_of
from webhook.wiring.commitment_editor import (
    Changed,
    ElsewhereError,
    Known,
    RefusedError,
    What,
)


def create(new: Commitment) -> Callable[[Known], ByName]:
    return lambda known: changes.create(known.commitments, new)


async def test_a_change_is_written_and_told_with_the_state_by_the_clock() -> None:
    tenants = f"{CLASSES}tenants: {{research: {{namespaces: {{matchLabels: {{t: r}}}}}}}}\n"
    store = Store(KeptPolicy(named(promised("c-1", 4)), {"research": {}}))
    part: dict[str, Mapping[str, Amount]] = {"c-2": {"gpu": NANOS}}
    edited = await editor(store, tenants).edit(lambda known: changes.split(known.commitments, "c-1", part, known.now))

    assert store.content == KeptPolicy(named(promised("c-1", 3), promised("c-2", 1)), {"research": {}})
    assert edited.changes == (
        Changed(What.CHANGED, promised("c-1", 3), State.CONFIRMED),
        Changed(What.CREATED, promised("c-2", 1), State.CONFIRMED),
    )
    gone = await editor(store, tenants).edit(lambda known: changes.delete(known.commitments, "c-2"))
    assert gone.changes == (Changed(What.DELETED, promised("c-2", 1), State.CONFIRMED),)
    later = await editor(store, tenants).edit(create(promised("c-3", 1, state=State.PLANNED, begins=NOW)))
    assert [each.state for each in later.changes] == [State.PENDING]


async def test_what_would_be_accepted_is_told_and_not_stored() -> None:
    store = Store()
    assert len((await editor(store).edit(create(promised("c-1", 8)), dry_run=True)).changes) == 1
    with pytest.raises(RefusedError):
        await editor(store).edit(create(promised("c-1", 9)), dry_run=True)
    assert (store.content, store.writes) == (KeptPolicy(), 0)


async def test_a_refusal_has_all_that_was_said_and_what_ends_first_there() -> None:
    listed = [promised("c-1", 4, ends=NOW + 3 * DAY), promised("c-2", 4, ends=NOW + 2 * DAY), promised("c-3", 1, B)]
    elsewhere = [promised("c-4", 1, B, ends=NOW + DAY), promised("c-5", 1, state=State.PENDING, ends=NOW + DAY)]
    store = Store(KeptPolicy(named(*listed, *elsewhere)))
    with pytest.raises(RefusedError) as caught:
        await editor(store).edit(create(promised("c-9", 1)))
    assert str(caught.value) == f"more would be promised than nodes have: h100 in a{ADVICE}"
    assert caught.value.why == "more would be promised than nodes have: h100 in a"
    assert caught.value.soonest == listed[1]
    await editor(store).edit(create(promised("c-9", 1)), force="it was sold")
    assert store.annotations == {"userquota.dev/force": "it was sold"}


async def test_a_change_is_made_again_on_what_another_one_wrote() -> None:
    store, others = Store(), iter([promised("c-8", 2), promised("c-9", 2)])

    def interfere(at: Store) -> None:
        if other := next(others, None):
            at.put(KeptPolicy({**at.content.commitments, other.name: other}))

    store.before_write = interfere
    await editor(store).edit(create(promised("c-1", 4)))
    assert sorted(store.content.commitments) == ["c-1", "c-8", "c-9"]


async def test_when_others_write_all_the_time_it_says_so() -> None:
    store = Store()
    store.before_write = lambda at: at.put(at.content)
    with pytest.raises(UnavailableError, match="at the same time again and again: try again"):
        await editor(store).edit(create(promised("c-1", 4)))
    assert not store.content.commitments


async def test_an_answer_that_was_lost_is_no_second_change() -> None:
    store = Store(after_write=lambda: False)
    edited = await editor(store).edit(create(promised("c-1", 4)))
    assert [each.commitment.name for each in edited.changes] == ["c-1"]
    store.put(KeptPolicy(named(promised("c-1", 4, state=State.PENDING))))
    served = await editor(store).serve()
    assert [each.commitment.name for each in served.confirmed.changes] == ["c-1"]
    assert store.content.commitments["c-1"].state is State.CONFIRMED


OFFER, OVER = TransferOffer(digest_of("4f1c"), NOW + DAY), TransferOffer(digest_of("over"), NOW)
BOB, CAROL = Subject("user/bob"), Subject("user/carol")


def accept(holder: Subject, token: str) -> Callable[[Known], ByName]:
    return lambda known: changes.accept(known.commitments, token, holder, known.now)


async def test_what_is_offered_is_accepted_in_one_edit() -> None:
    store = Store(KeptPolicy(named(promised("c-1", 8))))
    offered = await editor(store).edit(lambda known: changes.offer(known.commitments, "c-1", OFFER, known.now))
    assert offered.changes == (Changed(What.CHANGED, promised("c-1", 8, offer=OFFER), State.CONFIRMED),)
    edited = await editor(store).edit(accept(BOB, "4f1c"))
    assert edited.changes == (Changed(What.CHANGED, promised("c-1", 8, holder=BOB), State.CONFIRMED),)
    assert (store.content.commitments, store.writes) == (named(promised("c-1", 8, holder=BOB)), 2)


async def test_of_two_who_accept_at_once_one_is_told_that_it_is_gone() -> None:
    store = Store(KeptPolicy(named(promised("c-1", 8, offer=OFFER))))
    store.before_write = lambda at: at.put(KeptPolicy(named(promised("c-1", 8, holder=CAROL))))
    with pytest.raises(ChangeError, match="nothing is offered by this token"):
        await editor(store).edit(accept(BOB, "4f1c"))
    assert store.content.commitments["c-1"].holder == CAROL


async def test_an_acceptance_whose_answer_was_lost_is_told_as_made() -> None:
    store = Store(KeptPolicy(named(promised("c-1", 8, offer=OFFER))), after_write=lambda: False)
    edited = await editor(store).edit(accept(BOB, "4f1c"))
    assert [each.commitment.holder for each in edited.changes] == [BOB]


async def test_what_is_not_accepted_changes_nothing() -> None:
    offer = f"offer: {{tokenDigest: {digest_of('theirs')}}}"
    theirs = f"  theirs: {{user: carol, nodeClass: h100, zone: a, amounts: {{gpu: 1}}, {offer}}}\n"
    store = Store(KeptPolicy(named(promised("c-1", 8, offer=OFFER), promised("c-2", 1, B, offer=OVER))))
    admins = f"{CLASSES}commitments:\n{theirs}"
    for change, why in (
        (accept(Subject("user/alice"), "4f1c"), "c-1 is of user/alice already"),
        (accept(BOB, "4f1d"), "nothing is offered by this token"),
        (accept(BOB, "over"), "c-2 was offered until 2026-12-01T00:00:00Z: the offer is over"),
        (accept(BOB, "theirs"), "theirs stands in ConfigMap admins-0, key policy.yaml, line 4: edit it there"),
    ):
        with pytest.raises(ChangeError, match=why):
            await editor(store, admins).edit(change)
    assert store.writes == 0


async def test_an_offer_is_withdrawn_although_the_policy_has_mistakes() -> None:
    store = Store(KeptPolicy(named(promised("c-1", 8, offer=OFFER))))
    broken = editor(store, "version: 1\nusers: {alice: {hard: {cpuu: 1}}}\n")
    with pytest.raises(UnavailableError, match="Mend it first"):
        await broken.edit(accept(BOB, "4f1c"))
    await broken.edit(lambda known: changes.withdraw_offer(known.commitments, "c-1"), mends=True)
    assert store.content.commitments == named(promised("c-1", 8))


async def test_what_an_admin_wrote_is_not_changed_and_its_place_is_told() -> None:
    store = Store(KeptPolicy(named(promised("c-1", 4))))
    for change in (
        lambda known: changes.confirm(known.commitments, "theirs", known.now),
        lambda known: changes.move(known.commitments, "theirs", Subject("user/bob"), known.now),
        lambda known: changes.delete(changes.delete(known.commitments, "c-1"), "theirs"),
    ):
        with pytest.raises(ElsewhereError) as caught:
            await editor(store, OF_AN_ADMIN).edit(change)
        assert str(caught.value) == (
            "theirs stands in ConfigMap admins-0, key policy.yaml, line 4: edit it there, commands change only what is "
            "in ConfigMap userquota-commitments"
        )
    with pytest.raises(ChangeError, match="there is a commitment theirs already"):
        await editor(store, OF_AN_ADMIN).edit(create(promised("theirs", 1)))
    assert store.writes == 0
    await editor(store, OF_AN_ADMIN).edit(create(promised("c-2", 1)))
    assert sorted(store.content.commitments) == ["c-1", "c-2"]


async def test_what_resources_are_worth_stands_in_the_policy() -> None:
    seen: list[Known] = []

    def look(known: Known) -> ByName:
        seen.append(known)
        return known.commitments

    await editor(Store(), OF_AN_ADMIN).edit(look, dry_run=True)
    assert (seen[0].worth_of("h100"), seen[0].worth_of("v100")) == ({"gpu": 4}, {})
    assert seen[0].commitments["theirs"].holder == "user/carol"


async def test_beside_mistakes_nothing_is_promised_and_what_may_mend_them_is_deleted() -> None:
    store = Store(KeptPolicy(named(promised("c-1", 4))))
    bad = f"{CLASSES}users: {{bob: {{hard: {{cpu: 1K}}}}}}\n"
    with pytest.raises(UnavailableError, match=r"Mend it first: admins-0/policy\.yaml:3:27: users\.bob\.hard\.cpu"):
        await editor(store, bad).edit(create(promised("c-2", 1)))
    with pytest.raises(UnavailableError, match="Mend it first"):
        await editor(store, bad).serve()
    with pytest.raises(
        UnavailableError, match=r"there is no commitment c-9\. What else there is cannot be told, as the"
    ):
        await editor(store, bad).edit(lambda known: changes.delete(known.commitments, "c-9"), mends=True)
    await editor(store, bad).edit(lambda known: changes.delete(known.commitments, "c-1"), mends=True)
    assert not store.content.commitments


async def test_while_nobody_judges_edits_nothing_is_changed() -> None:
    store = Store(KeptPolicy(named(promised("c-1", 4, state=State.PENDING))), is_judged=False)
    with pytest.raises(UnavailableError, match="no replica of userquota judges edits of the policy now"):
        await editor(store).edit(create(promised("c-2", 1)))
    with pytest.raises(UnavailableError, match="no replica"):
        await editor(store).edit(create(promised("c-2", 1)), dry_run=True)
    with pytest.raises(UnavailableError, match="no replica"):
        await editor(store).serve()
    assert store.writes == 0


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (f"more would be promised{ADVICE}", "more would be promised"),
        (
            (
                "more would be promised. The annotation userquota.dev/force was there before this edit: to do it all "
                "the same, give another reason"
            ),
            "more would be promised",
        ),
        ("the policy would have a mistake:\nc-1.tenant: x", "the policy would have a mistake: c-1.tenant: x"),
    ],
)
def test_why_it_was_refused_is_one_line_without_what_to_do(message: str, why: str) -> None:
    assert RefusedError(message, None).why == why


def waiting(name: str, gpus: int, days: int, pool: Pool = A) -> Commitment:
    return promised(name, gpus, pool, State.PENDING, begins=NOW - days * DAY)


QUEUE = named(
    promised("c-0", 2), waiting("c-4", 1, 3), waiting("c-3", 2, 4), waiting("c-1", 3, 6), waiting("c-2", 6, 5)
) | named(waiting("c-5", 9, 9, B), waiting("c-6", 1, 8, B))


async def test_each_pool_is_served_in_its_order_and_one_without_room_holds_back_those_behind_it() -> None:
    store = Store(KeptPolicy(QUEUE))
    served = await editor(store).serve()

    assert served.confirmed.changes == (Changed(What.CHANGED, promised("c-1", 3, begins=NOW), State.CONFIRMED),)
    assert [(each.commitment.name, each.why) for each in served.waiting] == [
        ("c-2", "more would be promised than nodes have: h100 in a"),
        ("c-3", "c-2 waits before it for h100 in a"),
        ("c-4", "c-2 waits before it for h100 in a"),
        ("c-5", "more would be promised than nodes have: h100 in b"),
        ("c-6", "c-5 waits before it for h100 in b"),
    ]
    assert store.writes == 1
    assert not (await editor(store).serve()).confirmed.changes
    assert store.writes == 1


@pytest.mark.parametrize("room", [0, 1, 7, 63, 99, 100, 101])
async def test_a_long_queue_takes_few_questions(room: int) -> None:
    queue = [waiting(f"c-{number:03}", 1, 1) for number in range(100)]
    store = Store(KeptPolicy(named(*queue)), room=room)
    served = await editor(store).serve()
    assert [each.commitment.name for each in served.confirmed.changes] == [each.name for each in queue[:room]]
    assert [each.commitment.name for each in served.waiting] == [each.name for each in queue[room:]]
    if served.waiting:
        assert served.waiting[0].why == "more would be promised than nodes have: h100 in a"
    assert store.dry_runs <= 9


async def test_a_queue_can_be_tried_out() -> None:
    store = Store(KeptPolicy(QUEUE), room=11)
    served = await editor(store).serve(dry_run=True)
    assert [each.commitment.name for each in served.confirmed.changes] == ["c-1", "c-2", "c-5", "c-6"]
    assert [each.commitment.name for each in served.waiting] == ["c-3", "c-4"]
    assert store.writes == 0


async def test_a_queue_is_served_anew_when_others_took_the_room_meanwhile() -> None:
    store, rooms = Store(KeptPolicy(QUEUE), room=11), iter([5])

    def take(at: Store) -> None:
        at.room = next(rooms, at.room)

    store.before_write = take
    served = await editor(store).serve()
    assert [each.commitment.name for each in served.confirmed.changes] == ["c-1"]


async def test_what_an_admin_wrote_keeps_its_place_in_the_queue() -> None:
    store = Store(KeptPolicy(named(waiting("c-1", 1, 1))))
    served = await editor(store, OF_AN_ADMIN).serve()
    assert [each.commitment.name for each in served.waiting] == ["theirs", "c-1"]
    assert served.waiting[0].why.startswith("theirs stands in ConfigMap admins-0, key policy.yaml, line 4: edit it")
    assert store.writes == 0
