"""Which namespaces the live webhook configurations leave out, as far as they may be believed."""

from __future__ import annotations

import pytest
import structlog

from webhook.registration import Exemptions, default_exemptions, manifest_files, read_manifest
from webhook.registration.exemptions import read_exempt
from webhook.registration.live import LiveWebhook, Requirement, Selector

NAME = "kubernetes.io/metadata.name"
FLOOR = frozenset({"kube-system", "kube-node-lease", "userquota-system"})


def not_in(*names: str) -> Requirement:
    return Requirement(NAME, "NotIn", list(names))


def webhook(name: str, *expressions: Requirement, labels: dict[str, str] | None = None) -> LiveWebhook:
    return LiveWebhook(name, namespace_selector=Selector(labels, list(expressions)))


def only_remark(*webhooks: LiveWebhook) -> str:
    (remark,) = read_exempt(webhooks)[1]
    return remark


def test_the_manifests_exempt_the_control_plane_and_ourselves() -> None:
    manifests = [read_manifest(body) for body in manifest_files.webhook_configurations()]
    assert default_exemptions(manifests) == FLOOR


def test_a_namespace_that_all_webhooks_leave_out_is_exempt() -> None:
    webhooks = [webhook(name, not_in("kube-system", "calico-system")) for name in "abc"]
    assert read_exempt(webhooks) == (frozenset({"kube-system", "calico-system"}), ())


def test_several_expressions_on_the_name_exempt_what_each_names() -> None:
    assert read_exempt([webhook("a", not_in("one"), not_in("two"))]) == (frozenset({"one", "two"}), ())


@pytest.mark.parametrize("selector", [Selector(), Selector(None, []), Selector({}, [Requirement(NAME, "NotIn")])])
def test_without_a_selector_nothing_is_exempt(selector: Selector) -> None:
    assert read_exempt([LiveWebhook("a", namespace_selector=selector)]) == (frozenset(), ())


def test_a_namespace_that_only_some_leave_out_is_not_exempt_and_reported() -> None:
    webhooks = [webhook("a", not_in("kube-system", "cni")), webhook("b", not_in("kube-system")), webhook("c")]
    assert read_exempt(webhooks) == (
        frozenset(),
        (
            "namespace cni is not exempt from b, c, so that its pods count: name it in all",
            "namespace kube-system is not exempt from c, so that its pods count: name it in all",
        ),
    )


@pytest.mark.parametrize(
    ("other", "described"),
    [
        pytest.param(Requirement("team", "NotIn", ["infra"]), "team NotIn", id="another label"),
        pytest.param(Requirement(NAME, "In", ["red"]), f"{NAME} In", id="another operator"),
        pytest.param(Requirement("free", "DoesNotExist"), "free DoesNotExist", id="no values"),
    ],
)
def test_other_expressions_exempt_nobody_and_are_reported(other: Requirement, described: str) -> None:
    assert read_exempt([webhook("a", not_in("cni"), other)])[0] == {"cni"}
    assert only_remark(webhook("a", other)) == (
        f"a: its namespaceSelector has {described}; only {NAME} NotIn [...] exempts, so that pods which it leaves out "
        "otherwise count"
    )


def test_labels_exempt_nobody_and_are_reported() -> None:
    assert "has quota=on;" in only_remark(webhook("a", labels={"quota": "on"}))


class Watched:
    def __init__(self) -> None:
        self.changes: list[list[str]] = []
        self.exemptions = Exemptions(FLOOR, on_change=lambda: self.changes.append(sorted(self.exemptions.current())))


@pytest.fixture
def watched() -> Watched:
    return Watched()


def test_before_anything_is_read_the_default_holds(watched: Watched) -> None:
    assert not watched.exemptions.is_known
    assert watched.exemptions.current() == FLOOR


def test_where_nothing_is_installed_the_default_holds_and_is_known(watched: Watched) -> None:
    watched.exemptions.update({"a": None, "b": None})
    assert watched.exemptions.is_known
    assert (watched.exemptions.current(), watched.changes) == (FLOOR, [])


def test_the_webhook_for_the_policy_exempts_nothing_and_is_not_needed_to_know_what_is(watched: Watched) -> None:
    """It hears of our own namespace alone, which all others leave out."""
    policies = webhook("policies.userquota.dev", Requirement(NAME, "In", ["userquota-system"]))
    for found in (policies, None):
        watched.exemptions.update({"a": webhook("a", not_in(*FLOOR)), "policies.userquota.dev": found})
    assert (watched.changes, watched.exemptions.condition().ok) == ([], True)


def test_the_same_set_again_is_no_change(watched: Watched) -> None:
    watched.exemptions.update({"a": webhook("a", not_in(*FLOOR))})
    assert watched.changes == []


def test_a_change_is_reported_after_it_was_made(watched: Watched) -> None:
    watched.exemptions.update({"a": webhook("a", not_in("kube-system", "cni"))})
    assert watched.changes == [["cni", "kube-system"]]
    assert "cni" in watched.exemptions
    assert "userquota-system" not in watched.exemptions, "the live configuration intercepts it"


def test_where_a_webhook_is_missing_the_last_set_holds(watched: Watched) -> None:
    watched.exemptions.update({"a": webhook("a", not_in("cni")), "b": webhook("b", not_in("cni"))})
    watched.exemptions.update({"a": webhook("a"), "b": None})
    watched.exemptions.update({"a": None, "b": None})
    assert watched.exemptions.current() == {"cni"}


def test_remarks_are_a_condition_and_logged_once(watched: Watched) -> None:
    assert watched.exemptions.condition().ok
    with structlog.testing.capture_logs() as logs:
        for _ in range(3):
            watched.exemptions.update({"a": webhook("a", not_in(*FLOOR, "cni")), "b": webhook("b", not_in(*FLOOR))})
    condition = watched.exemptions.condition()
    assert (condition.ok, condition.reason) == (False, "exemptions")
    assert condition.message == "namespace cni is not exempt from b, so that its pods count: name it in all"
    assert [entry["reason"] for entry in logs] == [condition.message]
    watched.exemptions.update({"a": webhook("a", not_in(*FLOOR)), "b": webhook("b", not_in(*FLOOR))})
    assert watched.exemptions.condition().ok
