"""The certificates of a caBundle while replicas want different ones."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes import FakeClock
from webhook.registration.bundles import Overlap, certificates


def pem(text: str) -> bytes:
    return f"-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n".encode()


A, B, C = pem("QQ=="), pem("Qg=="), pem("Qw==")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def overlap(clock: FakeClock) -> Overlap:
    return Overlap(clock.monotonic, seconds=180)


def test_certificates_are_found_once_each_whatever_is_around_them() -> None:
    assert certificates(b"# a comment\n" + A.strip() + b"\r\n" + B + A) == (A, B)
    assert certificates(b"") == certificates(b"no PEM") == ()


@pytest.mark.parametrize(
    ("bundle", "wanted", "merged"),
    [
        pytest.param(b"", (A,), A, id="an empty one is filled"),
        pytest.param(A, (A,), A, id="a right one stays"),
        pytest.param(B + A, (A, B), B + A, id="the order does not matter"),
        pytest.param(b"# mine\n" + A, (A,), b"# mine\n" + A, id="what is no certificate does not matter"),
        pytest.param(B, (A,), A + B, id="what is missing is added, and the other stays"),
        pytest.param(b"no PEM", (A,), A, id="no PEM is replaced"),
    ],
)
def test_at_first_certificates_are_only_added(
    overlap: Overlap, bundle: bytes, wanted: tuple[bytes, ...], merged: bytes
) -> None:
    overlap.observe([bundle], wanted=wanted)
    assert overlap.merge(bundle, wanted=wanted, may_remove=True) == merged


def test_what_is_not_wanted_is_removed_once_the_overlap_is_over(overlap: Overlap, clock: FakeClock) -> None:
    assert overlap.observe([A + B], wanted=(A,)) == {B}
    clock.pass_by(179)
    assert overlap.observe([A + B], wanted=(A,)) == frozenset()
    assert overlap.merge(A + B, wanted=(A,), may_remove=True) == A + B
    clock.pass_by(1)
    overlap.observe([A + B], wanted=(A,))
    assert overlap.merge(A + B, wanted=(A,), may_remove=False) == A + B
    assert overlap.merge(A + B, wanted=(A,), may_remove=True) == A


def test_what_went_and_came_back_has_another_overlap(overlap: Overlap, clock: FakeClock) -> None:
    overlap.observe([A + B], wanted=(A,))
    clock.pass_by(200)
    overlap.observe([A], wanted=(A,))
    assert overlap.observe([A + B], wanted=(A,)) == {B}
    assert overlap.merge(A + B, wanted=(A,), may_remove=True) == A + B


@given(st.lists(st.sampled_from([0, 1]), min_size=1, max_size=30))
def test_two_that_want_different_ones_write_once_each_and_never_again_within_the_overlap(order: list[int]) -> None:
    clock = FakeClock()
    replicas = [(Overlap(clock.monotonic), (A,)), (Overlap(clock.monotonic), (B,))]
    bundle, writes = A, 0
    for which in order:
        overlap, wanted = replicas[which]
        overlap.observe([bundle], wanted=wanted)
        merged = overlap.merge(bundle, wanted=wanted, may_remove=True)
        writes += merged != bundle
        bundle = merged
        clock.pass_by(1)
    assert writes == (1 in order)
    assert set(certificates(bundle)) == ({A, B} if 1 in order else {A})


def test_a_set_once_agreed_upon_is_reached_in_any_order() -> None:
    """Both want B in the end: the first to look after the overlap removes A, and A is not added again."""
    for order in itertools.permutations([0, 1, 0, 1]):
        clock = FakeClock()
        overlaps = [Overlap(clock.monotonic) for _ in range(2)]
        bundle, seen = A + B, []
        for which in (*order, *order):
            overlaps[which].observe([bundle], wanted=(B,))
            bundle = overlaps[which].merge(bundle, wanted=(B,), may_remove=True)
            seen.append(bundle)
            clock.pass_by(100)
        assert seen[-1] == B
        assert [key for key, _ in itertools.groupby(seen)] == [A + B, B]
