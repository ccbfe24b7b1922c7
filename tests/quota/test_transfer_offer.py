"""Offers to whoever has a token."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

import pytest

from webhook.quota.transfer_offer import DIGEST, TransferOffer, digest_of

NOW = datetime(2026, 12, 1, tzinfo=UTC)


def test_the_digest_is_what_other_programs_make_of_the_token() -> None:
    assert digest_of("b52a") == f"sha256:{hashlib.sha256(b'b52a').hexdigest()}"
    assert DIGEST.fullmatch(digest_of("b52a"))
    assert digest_of("\udcff") != digest_of("?")  # a byte of the command line that is no UTF-8


def test_it_is_of_its_token_alone() -> None:
    offer = TransferOffer(digest_of("b52a"))
    assert offer.is_of("b52a")
    assert not any(offer.is_of(other) for other in ("", "b52b", "b52a ", offer.token_digest))


@pytest.mark.parametrize(("since", "is_in_force"), [(-1, True), (0, False), (1, False)])
def test_at_the_very_second_of_its_end_it_is_over(since: int, *, is_in_force: bool) -> None:
    offer = TransferOffer(digest_of("b52a"), NOW)
    assert offer.is_in_force(NOW + timedelta(seconds=since)) is is_in_force
    assert TransferOffer(offer.token_digest).is_in_force(NOW)


def test_it_says_until_when() -> None:
    assert str(TransferOffer(digest_of("b52a"), NOW)) == "until 2026-12-01T00:00:00Z"
    assert str(TransferOffer(digest_of("b52a"))) == "until it is withdrawn"
