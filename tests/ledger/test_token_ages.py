"""
What replicas say that was waited is never ahead of real time, whoever reads, writes and crashes in whatever order.

Were it, a reservation would expire that may still be stored.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from tests.quota.bookings import held
from webhook.ledger.codec import read_ledger, write_ledger
from webhook.ledger.ledger_object import StoredText
from webhook.ledger.protocol import Ledger
from webhook.ledger.validation import TokenAges

REPLICAS = 3
UID = "object"


@dataclass
class Scene:
    """Replicas with one monotonic clock each, which all run at the same rate, and one text."""

    time: float = 0.0
    stored: StoredText = field(
        default_factory=lambda: StoredText(write_ledger(Ledger("e", is_open=True), uid=UID), UID, 1)
    )
    given: dict[str, float] = field(default_factory=dict)
    replicas: list[TokenAges] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.replicas = [self._started(i) for i in range(REPLICAS)]

    def read(self, i: int) -> None:
        self.replicas[i].accept(self.stored, self.ledger)

    def reserve(self, i: int, *, travel: float) -> None:
        """Swap in another reservation; it takes *travel* seconds each way."""
        self.read(i)
        token = f"token-{len(self.given)}"
        self.given[token] = self.time
        after = self.ledger.followed(without={}, replaced=(), new={token: held(uid=token)})
        after = after.aged(self.replicas[i].age(), self.replicas[i].waited())
        self.time += travel
        self.stored = StoredText(write_ledger(after, uid=UID), UID, self.stored.version + 1)
        self.time += travel
        self.replicas[i].accept(self.stored, after)

    def crash(self, i: int) -> None:
        self.replicas[i] = self._started(i)

    @property
    def ledger(self) -> Ledger:
        return read_ledger(self.stored.text, uid=UID)

    def _started(self, i: int) -> TokenAges:
        return TokenAges(api_time=lambda: self.time + 1000 * i)


numbers = st.integers(0, REPLICAS - 1)
seconds = st.integers(0, 60).map(float)
acts = st.one_of(
    st.builds(lambda s: lambda scene: setattr(scene, "time", scene.time + s), seconds),
    st.builds(lambda i: lambda scene: scene.read(i), numbers),
    st.builds(lambda i, s: lambda scene: scene.reserve(i, travel=s / 8), numbers, seconds),
    st.builds(lambda i: lambda scene: scene.crash(i), numbers),
)


@given(st.lists(acts, max_size=30))
def test_what_was_waited_is_never_ahead_of_real_time(several: list[Callable[[Scene], None]]) -> None:
    scene = Scene()
    for act in several:
        act(scene)
        for past in scene.replicas:
            assert past.age() <= scene.time * 1000
            for token, waited in past.waited().items():
                assert waited <= (scene.time - scene.given[token]) * 1000


@given(st.lists(st.tuples(numbers, seconds), min_size=1, max_size=20))
def test_a_replica_that_lives_on_counts_all_the_time_since_it_heard(several: list[tuple[int, float]]) -> None:
    scene = Scene()
    scene.reserve(0, travel=0)
    for i, passed in several:
        scene.time += passed
        scene.reserve(i, travel=0)

    assert scene.replicas[0].waited()["token-0"] == sum(passed for _, passed in several) * 1000
