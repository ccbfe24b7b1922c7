"""How much of a pool is taken at most, if several people ask for one name."""

from __future__ import annotations

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from nemesis.accounting import GPU, UNIT
from nemesis.ledger_text import Payer
from nemesis.promises import Promises, Use
from tests.nemesis.promised import A, policy, promise

PEOPLE = ("alice", "bob", "carol", "dave")
NOW = 100.0

covers = st.dictionaries(st.sampled_from(PEOPLE[:3]), st.integers(1, 4), min_size=1)
uses = st.builds(
    lambda owner, number: Use(Payer(owner, ()), "anywhere", A, {GPU: number * UNIT}),
    st.sampled_from(PEOPLE),
    st.integers(1, 3),
)
names = st.lists(st.lists(uses, min_size=1, max_size=3), max_size=5)


@given(covers, names)
def test_it_is_the_most_that_is_taken_in_any_of_the_ways_in_which_names_may_come_true(
    covers: dict[str, int], names: list[list[Use]]
) -> None:
    promises = Promises(policy({each: promise(number, user=each) for each, number in covers.items()}))
    ways = [[[use] for use in chosen] for chosen in product(*names)]

    assert promises.taken(NOW, names, A, GPU) == max(promises.taken(NOW, way, A, GPU) for way in ways)


def asked_for(*people: str) -> list[Use]:
    """Return the uses of one name that several people ask for."""
    return [Use(Payer(each, ()), "anywhere", A, {GPU: UNIT}) for each in people]


def test_of_many_names_the_ways_are_not_tried_one_after_the_other() -> None:
    """Seven places of bob are three more than he was promised: none may go to alice, who has places left."""
    promises = Promises(policy({each: promise(4, user=each) for each in ("alice", "bob", "carol")}))
    names = [asked_for("alice", "bob"), *[asked_for("bob", "carol")] * 6]

    assert promises.taken(NOW, names, A, GPU) == (4 + 7 + 4) * UNIT
