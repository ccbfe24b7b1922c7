"""Commitments of another system, taken over by edits of a fake store."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.wiring.commitment_stage import CLASSES, OF_AN_ADMIN, A, B, Store, editor, named, promised
from webhook.documents.commitment_text import ListedCommitments
from webhook.documents.kept_policy import KeptPolicy
from webhook.quota.commitment_changes import ChangeError
from webhook.quota.commitments import Commitment
from webhook.wiring.commitment_editor import What
from webhook.wiring.commitment_source import GENERATION, TakenOver, take_over


def told(found: TakenOver) -> list[tuple[What, str]]:
    return [(each.what, each.commitment.name) for each in found.edited.changes]


async def test_all_is_taken_over_in_one_edit_and_a_second_time_nothing_is() -> None:
    store = Store(KeptPolicy(named(promised("c-1", 2))))
    listed = named(promised("c-1", 3), promised("c-2", 4, B))
    found = await take_over(editor(store), ListedCommitments(listed))
    assert told(found) == [(What.CHANGED, "c-1"), (What.CREATED, "c-2")]
    assert (found.left_out, found.missing, store.writes) == ({}, (), 1)
    assert {name: replace(each, place="") for name, each in store.content.commitments.items()} == listed
    assert told(await take_over(editor(store), ListedCommitments(listed))) == []
    assert (store.writes, store.dry_runs) == (1, 1)


async def test_what_finds_no_room_is_left_out_alone() -> None:
    store = Store(KeptPolicy(named(promised("c-0", 5))))
    listed = named(promised("c-0", 5), promised("c-1", 4), promised("c-2", 3), promised("c-3", 8, B))
    found = await take_over(editor(store), ListedCommitments(listed))
    assert told(found) == [(What.CREATED, "c-2"), (What.CREATED, "c-3")]
    assert list(found.left_out) == ["c-1"]
    assert found.left_out["c-1"] == "more would be promised than nodes have: h100 in a"
    assert store.writes == 1


@pytest.mark.parametrize("listed", [{}, named(promised("c-2", 1, B))], ids=["nothing", "a part"])
async def test_a_source_that_is_short_releases_nothing(listed: dict[str, Commitment]) -> None:
    store = Store(KeptPolicy(named(promised("c-1", 2))))
    found = await take_over(editor(store), ListedCommitments(listed))
    assert (found.missing, "c-1" in store.content.commitments) == (("c-1",), True)
    unread = await take_over(editor(store), ListedCommitments(listed, {"c-1": "source:4: no"}))
    assert (unread.missing, unread.left_out) == ((), {"c-1": "source:4: no"})


async def test_what_an_admin_has_written_is_left_to_the_admin() -> None:
    store = Store(KeptPolicy(named(promised("c-1", 2))))
    found = await take_over(
        editor(store, OF_AN_ADMIN), ListedCommitments(named(promised("theirs", 1), promised("c-1", 3)))
    )
    assert told(found) == [(What.CHANGED, "c-1")]
    assert "theirs stands in ConfigMap admins-0, key policy.yaml, line 4: edit it there" in found.left_out["theirs"]
    assert found.missing == ()


async def test_a_dry_run_tells_the_same_and_stores_nothing() -> None:
    store = Store()
    found = await take_over(
        editor(store, CLASSES), ListedCommitments(named(promised("c-1", 9), promised("c-2", 1))), dry_run=True
    )
    assert (told(found), list(found.left_out), store.writes) == ([(What.CREATED, "c-2")], ["c-1"], 0)
    assert A in {each.commitment.pool for each in found.edited.changes}


async def test_what_finds_no_room_again_and_again_is_tried_alone() -> None:
    """A source may list thousands, and be asked every few minutes."""
    store = Store(KeptPolicy(named(*(promised(f"c-{number}", 1, B) for number in range(8)))))
    listed = ListedCommitments(named(*store.content.commitments.values(), promised("d-1", 9)))
    for _ in range(2):
        before = store.dry_runs
        found = await take_over(editor(store), listed)
        assert (told(found), list(found.left_out), store.writes) == ([], ["d-1"], 0)
        assert store.dry_runs - before == 3  # whether edits are judged, twice, and the one entry


async def test_an_older_list_changes_nothing() -> None:
    store = Store()
    old, new = ListedCommitments(named(promised("c-1", 4)), {}, 7), ListedCommitments(named(promised("c-1", 2)), {}, 8)
    for listed in (old, new):
        await take_over(editor(store), listed)
    assert (store.annotations, store.writes) == ({GENERATION: "8"}, 2)

    for late, said in ((old, "generation 7"), (ListedCommitments(old.commitments), "no generation")):
        with pytest.raises(ChangeError, match=f"the list says {said}, and generation 8 was taken over before"):
            await take_over(editor(store), late)
    assert told(await take_over(editor(store), new)) == []
    assert store.writes == 2


async def test_a_later_list_of_the_same_counts_as_taken_over() -> None:
    store = Store()
    for generation in (1, 2):
        await take_over(editor(store), ListedCommitments(named(promised("c-1", 4)), {}, generation))
    assert (store.annotations, store.writes) == ({GENERATION: "2"}, 2)


@pytest.mark.parametrize("written", ["-1", "", "x", "9" * 5000])
async def test_a_generation_that_is_no_number_is_told(written: str) -> None:
    store = Store(annotations={GENERATION: written})
    with pytest.raises(ChangeError, match="is no number"):
        await take_over(editor(store), ListedCommitments({}, {}, 3))
