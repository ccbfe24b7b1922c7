"""
All that an admin should know before the installation, as one value. `cli` prints it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from webhook.preflight.census import Census
from webhook.preflight.infrastructure import DaemonSetSize, SystemNamespace, daemon_sets, system_namespaces
from webhook.preflight.made_anew import Anew, MadeAnew
from webhook.preflight.ownerless import Ownerless, ownerless, suggestion
from webhook.preflight.standings import Standing, Standings, over_more, standings
from webhook.preflight.writers import Writer, writers
from webhook.quota.policy import Mode
from webhook.quota.resources import Amounts


@dataclass(frozen=True, slots=True)
class Gap:
    """Something that the cluster lacks, and what follows. `is_fatal`: userquota cannot be installed without it."""

    what: str
    consequence: str
    is_fatal: bool = False


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Something that could not be read, and why: what the report says of it is incomplete."""

    what: str
    why: str


@dataclass(frozen=True, slots=True)
class Report:
    """
    The report on one cluster under one policy.

    `server` is the version of the API server, empty if it could not be read. `exempt` are the namespaces that are not
    counted. `suggestion` is the `hard` of an entry for the unattributed that allows what they use, under
    ResourceQuota's names; empty where the policy has one. `anew` says who would pay for what nobody is known to own
    once it is made anew, and `over_anew` which limits would be exceeded then, with more than is used now.
    """

    server: str
    exempt: tuple[str, ...]
    standings: Standings
    ownerless: tuple[Ownerless, ...]
    suggestion: Amounts
    anew: tuple[Anew, ...]
    over_anew: tuple[Standing, ...]
    writers: tuple[Writer, ...]
    daemon_sets: tuple[DaemonSetSize, ...]
    system_namespaces: tuple[SystemNamespace, ...]
    gaps: tuple[Gap, ...]
    unreadable: tuple[Unreadable, ...]

    @property
    def is_complete(self) -> bool:
        """Whether everything could be read."""
        return not self.unreadable

    @property
    def is_fine(self) -> bool:
        """Whether no enforced limit is exceeded, now or then, and the cluster has what userquota cannot do without."""
        is_over_anew = any(each.limit.mode is Mode.ENFORCE for each in self.over_anew)
        return not (self.standings.is_over_enforced or is_over_anew or any(each.is_fatal for each in self.gaps))


def report_on(  # noqa: PLR0913 - all that was read
    census: Census,
    *,
    anew: MadeAnew,
    server: str,
    exempt: Iterable[str],
    gaps: Iterable[Gap],
    unreadable: Iterable[Unreadable],
) -> Report:
    """Return the report on a complete *census*, or on one that lacks what is *unreadable*; *anew* is of the same."""
    now = standings(census)
    return Report(
        server,
        tuple(sorted(exempt)),
        now,
        ownerless(census),
        suggestion(census),
        anew.rows,
        over_more(now, standings(census.with_payers(anew.payers))) if anew.payers else (),
        writers(census),
        daemon_sets(census),
        system_namespaces(census),
        tuple(gaps),
        tuple(unreadable),
    )
