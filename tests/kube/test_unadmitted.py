"""Which objects were made past us, and which of them are news."""

from __future__ import annotations

import pytest

from webhook.kube.object_sink import Unadmitted


@pytest.fixture
def known() -> Unadmitted:
    """One is there already, and the first list is over."""
    unadmitted = Unadmitted()
    unadmitted.list_started()
    unadmitted.seen("old", is_unadmitted=True)
    unadmitted.list_finished()
    return unadmitted


def test_what_the_first_list_shows_is_no_news() -> None:
    unadmitted = Unadmitted()
    unadmitted.list_started()
    assert not unadmitted.seen("old", is_unadmitted=True)
    unadmitted.list_started()  # the first one broke off
    assert not unadmitted.seen("old", is_unadmitted=True)
    unadmitted.list_finished()
    assert not unadmitted.seen("old", is_unadmitted=True)
    assert len(unadmitted) == 1


def test_what_appears_later_is_news_once(known: Unadmitted) -> None:
    assert known.seen("new", is_unadmitted=True)
    assert not known.seen("new", is_unadmitted=True)
    assert len(known) == 2


def test_what_a_later_list_is_the_first_to_show_is_news_too(known: Unadmitted) -> None:
    known.list_started()
    assert not known.seen("old", is_unadmitted=True)
    assert known.seen("made while the watch was broken", is_unadmitted=True)
    known.list_finished()
    assert len(known) == 2


def test_what_a_list_does_not_show_is_forgotten(known: Unadmitted) -> None:
    known.list_started()
    assert len(known) == 1  # until the list is whole
    known.list_finished()
    assert len(known) == 0


def test_what_is_gone_or_was_given_an_owner_counts_no_longer(known: Unadmitted) -> None:
    known.seen("new", is_unadmitted=True)
    known.gone("old")
    assert not known.seen("new", is_unadmitted=False)
    assert len(known) == 0


def test_what_goes_during_a_list_does_not_come_back_with_its_end(known: Unadmitted) -> None:
    known.list_started()
    known.seen("old", is_unadmitted=True)
    known.gone("old")
    known.list_finished()
    assert len(known) == 0
