"""A source that is looked at again and again."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from tests.wiring.commitment_stage import B, Store, StoredEvents, editor, named, promised
from webhook.documents.commitment_text import CommitmentTextError, ListedCommitments
from webhook.documents.kept_policy import KeptPolicy
from webhook.kube.api import ApiError
from webhook.kube.kept_policy import NAME
from webhook.ports import WebhookError
from webhook.quota.quantity import NANOS
from webhook.wiring.commitment_events import MOST_TOLD, CommitmentEvents
from webhook.wiring.commitment_following import CommitmentFollower

GOOD = ListedCommitments(named(promised("c-1", 3)))
NONE_READ = CommitmentTextError((("", "source:1:1: expected one document"),))


class Stage:
    """A follower of what a test says is listed; its Events."""

    def __init__(self, store: Store | None = None) -> None:
        self.store = store or Store()
        self.listed: ListedCommitments | WebhookError = GOOD
        self.stored = StoredEvents()
        edits = editor(self.store)
        self.follower = CommitmentFollower(self.read, edits, CommitmentEvents(edits.maps, self.stored.tell_once))

    async def read(self) -> ListedCommitments:
        if isinstance(self.listed, WebhookError):
            raise self.listed
        return self.listed

    @property
    def told(self) -> list[tuple[str, str]]:
        return self.stored.told


async def test_what_is_listed_is_taken_over_and_the_next_time_nothing_is_written() -> None:
    stage = Stage()
    with capture_logs() as logs:
        assert [await stage.follower.once() for _ in range(3)] == [True, True, True]
    assert (list(stage.store.content.commitments), stage.store.writes, stage.told) == (["c-1"], 1, [])
    assert [each["changed"] for each in logs if each["event"] == "commitments taken over"] == [1, 0, 0]


@pytest.mark.parametrize(
    "failing",
    [NONE_READ, ListedCommitments({}), ListedCommitments(named(promised("c-2", 1, B))), WebhookError("no answer")],
    ids=["cut short", "empty", "a part", "silent"],
)
async def test_a_source_that_fails_or_is_short_releases_nothing(failing: ListedCommitments | WebhookError) -> None:
    stage = Stage()
    await stage.follower.once()
    stage.listed = failing
    await stage.follower.once()
    assert stage.store.content.commitments["c-1"].amounts == {"gpu": 3 * NANOS}


async def test_a_failure_is_told_once_until_it_is_another_or_over() -> None:
    stage = Stage(Store(KeptPolicy(named(promised("c-1", 3)))))
    with capture_logs() as logs:
        for number in range(3):
            stage.listed = WebhookError(f"no answer\nwithin {number} seconds")
            assert not await stage.follower.once()
    first = ("CommitmentSourceFailed", "no answer within 0 seconds: no commitment is changed or released")
    assert stage.told == [first]
    assert {(each.config_map, each.uid) for each in stage.stored.events} == {(NAME, f"uid-of-{NAME}")}
    assert len([each for each in logs if each["log_level"] == "warning"]) == 3

    stage.listed = NONE_READ
    await stage.follower.once()
    stage.listed = GOOD
    assert await stage.follower.once()
    stage.listed = NONE_READ
    await stage.follower.once()
    assert [message for _, message in stage.told[1:]] == [f"{NONE_READ}: no commitment is changed or released"] * 2


async def test_a_bad_entry_is_told_once_and_holds_back_no_other() -> None:
    stage = Stage()
    stage.listed = ListedCommitments(named(promised("c-1", 9), promised("c-2", 1)), {"c-3": "source:4: no"})
    for _ in range(3):
        await stage.follower.once()
    assert stage.told == [
        ("CommitmentLeftOut", "commitment c-1 is left out: more would be promised than nodes have: h100 in a"),
        ("CommitmentLeftOut", "commitment c-3 is left out: source:4: no"),
    ]
    assert list(stage.store.content.commitments) == ["c-2"]

    stage.listed = ListedCommitments(named(promised("c-1", 9)), {"c-3": "source:5: no"})
    await stage.follower.once()
    assert len(stage.told) == 2
    stage.listed = GOOD
    await stage.follower.once()
    stage.listed = ListedCommitments({}, {"c-1": "source:4: no"})
    await stage.follower.once()
    assert stage.told[2:] == [("CommitmentLeftOut", "commitment c-1 is left out: source:4: no")]


async def test_many_bad_entries_are_told_by_and_by() -> None:
    stage = Stage()
    stage.listed = ListedCommitments({}, {f"c-{number}": "no" for number in range(2 * MOST_TOLD + 1)})
    numbers = []
    for _ in range(4):
        await stage.follower.once()
        numbers.append(len(stage.told))
    assert numbers == [MOST_TOLD, 2 * MOST_TOLD, 2 * MOST_TOLD + 1, 2 * MOST_TOLD + 1]


async def test_an_event_that_cannot_be_written_is_tried_again() -> None:
    stage = Stage()
    stage.listed = ListedCommitments({}, {"c-1": "no"})
    stage.stored.trouble = ApiError("no", request="POST", status=500)
    await stage.follower.once()
    stage.stored.trouble = None
    await stage.follower.once()
    assert len(stage.told) == 1


async def test_it_looks_again_after_each_pause() -> None:
    stage = Stage()
    pauses = []

    class StopError(Exception):
        pass

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        stage.listed = ListedCommitments(named(promised("c-1", len(pauses) + 3)))
        if len(pauses) == 3:
            raise StopError

    stage.follower.sleep = sleep
    with pytest.raises(StopError):
        await stage.follower.run(300)
    assert (pauses, stage.store.writes) == ([300, 300, 300], 3)
