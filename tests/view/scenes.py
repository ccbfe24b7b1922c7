"""A policy, objects and their holders, for tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from webhook.documents.policy_text import PolicyText, read_policy
from webhook.quota.objects import ObjectKey
from webhook.quota.policy import Policy, accounts_under
from webhook.quota.quantity import NANOS
from webhook.quota.reservation import CREATED, Reservation
from webhook.quota.scopes import Scopes
from webhook.quota.subject import Payer, selector_of, unscoped
from webhook.quota.tags import Tags
from webhook.quota.usage import Row, UsageIndex
from webhook.view.standings import Scene, Standing

NOW = datetime(2026, 11, 29, tzinfo=UTC)
LABELS: Mapping[str, Mapping[str, str]] = {"red": {"team": "research"}, "blue": {}}


def policy(text: str) -> Policy:
    reading = read_policy([PolicyText("userquota-policy/policy.yaml", "version: 1\n" + text)])
    assert reading.policy is not None, reading.mistakes
    return reading.policy


def scene(text: str = "", *, now: datetime = NOW) -> Scene:
    made = policy(text)

    def labels(name: str) -> Mapping[str, str]:
        return LABELS.get(name, {})

    return Scene(made, UsageIndex(accounts_under(made, labels), made.devices), labels, now)


def cost(cpu: int, **others: int) -> tuple[tuple[str, int], ...]:
    amounts = {"pods": NANOS, "requests.cpu": cpu * NANOS, **{name: each * NANOS for name, each in others.items()}}
    return tuple(sorted((name, amount) for name, amount in amounts.items() if amount))


def put(
    where: Scene,
    name: str,
    payer: Payer,
    amounts: Iterable[tuple[str, int]] = cost(1),
    *,
    namespace: str = "red",
    scopes: Scopes = (),
    created: int = 0,
    tags: Tags = (),
) -> tuple[ObjectKey, Row]:
    key = ObjectKey("pods", namespace, name)
    row = Row(name, where.usage.position("pods") + 1, payer, tuple(amounts), scopes, created=created, tags=tags)
    where.usage.observe(key, row)
    where.usage.reached("pods", row.version)
    return key, row


def reserve(
    where: Scene, name: str, payer: Payer, amounts: Iterable[tuple[str, int]] = cost(1), *, scopes: Scopes = ()
) -> None:
    key = ObjectKey("pods", "red", name)
    where.usage.reserve(Reservation(key, name, CREATED, payer, tuple(amounts), scopes))


def told(standings: Iterable[Standing]) -> list[tuple[str, ...]]:
    """Return rows as short texts: subject, selector, resource, hard/used/reserved/free/over in whole units, entry."""
    return [
        (
            unscoped(each.subject),
            selector_of(each.subject),
            each.resource,
            "/".join(
                str(amount // NANOS) if amount is not None else "-"
                for amount in (
                    each.limit.hard if each.limit else None,
                    each.used,
                    each.reserved,
                    each.free if each.limit else None,
                    each.over if each.limit else None,
                )
            ),
            each.limit.entry if each.limit else "",
        )
        for each in standings
    ]
