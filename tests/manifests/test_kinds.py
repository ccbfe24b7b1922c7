"""The manifests and the registry of kinds say the same: what is intercepted, and what may be read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from webhook.kinds.evaluator import AnyKind, Effect
from webhook.kinds.registry import KINDS

MANIFESTS = Path(__file__).parents[2] / "manifests"


def document(name: str) -> Any:
    return yaml.safe_load((MANIFESTS / name).read_text())


def intercepted(name: str) -> set[tuple[str, str]]:
    """Return resource with its group and subresource, and operation, of every rule on what may be charged or owned."""
    return {
        (f"{plural}.{group}{slash}{sub}" if group else f"{plural}{slash}{sub}", operation)
        for webhook in document(name)["webhooks"]
        if webhook["name"] != "policies.userquota.dev"
        for rule in webhook["rules"]
        for group in rule["apiGroups"]
        for plural, slash, sub in (each.partition("/") for each in rule["resources"])
        for operation in rule["operations"]
    }


def ways_in(kind: AnyKind) -> set[tuple[str, str, str]]:
    """Return subresource, operation and the name that a rule has for it."""
    plain = {("", operation, kind.resource) for operation in kind.operations}
    return plain | {(sub, operation, f"{kind.resource}/{sub}") for sub, operation in kind.subresources}


def test_every_way_to_change_a_stamp_or_a_cost_is_intercepted_and_no_other() -> None:
    effects = {
        (name, operation): kind.evaluator.effect(operation, sub)
        for kind in KINDS
        for sub, operation, name in ways_in(kind)
    }

    assert Effect.IGNORE not in effects.values()
    assert intercepted("validatingwebhookconfiguration.yaml") == set(effects)


def test_the_mutating_call_is_made_for_objects_that_are_stamped() -> None:
    stamped = {
        (kind.resource, operation)
        for kind in KINDS
        for operation in kind.operations
        if kind.evaluator.effect(operation, "").is_stamped
    }

    assert intercepted("mutatingwebhookconfiguration.yaml") == stamped


@pytest.mark.parametrize("kind", list(KINDS), ids=lambda kind: kind.resource)
def test_what_is_charged_may_be_watched_and_owners_may_be_read(kind: AnyKind) -> None:
    verbs = {
        verb
        for rule in document("clusterrole.yaml")["rules"]
        if kind.group in rule["apiGroups"] and kind.plural in rule["resources"]
        for verb in rule["verbs"]
    }
    wanted = {"get", "list", "watch"} if kind.is_charged or kind.is_countable else set()

    assert verbs == wanted
