"""
Each command that stands in the documents is run by a test, or there is a reason why not.

Those that need no cluster run here, the others in `cluster/test_commands.py`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from localcluster.addresses import HeldPort
from tests.cli.running import USERQUOTA
from tests.cluster.running import ask, is_ok
from tests.commands import command, commands_in, commands_of
from tests.test_docs import DOCUMENTS, lost_tests

WITH_LISTS_OF_THEIR_OWN = {
    "README.md": "test_readme.py::test_no_command_is_forgotten",
    "docs/commitments.md": "cluster/test_commitment_commands.py::test_the_document_is_what_the_commands_print",
    "docs/walkthrough.md": "cluster/test_walkthrough.py::test_the_document_is_what_the_commands_print",
}

CLUSTER = "cluster/test_commands.py"
POLICIES = f"{CLUSTER}::test_policies_are_compared_and_checked_with_the_usage_of_the_cluster"
TAGS = "cluster/test_view.py::test_allocations_have_the_labels_that_the_policy_names_and_are_selected_by_them"
ROTATION = "registration/test_rotation.py"
RUN_BY = {
    ("certs/README.md", "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 …"): (
        "test_commands.py::test_certificates_of_ones_own_are_served"
    ),
    ("certs/README.md", "userquota certs status…"): f"{ROTATION}::test_status_shows_who_signs_and_who_is_trusted",
    ("certs/README.md", "userquota certs rotate  …"): (
        f"{ROTATION}::test_rotate_has_the_next_one_sign_and_waits_until_the_old_one_is_gone"
    ),
    ("certs/README.md", "userquota certs rotate --all…"): (
        f"{ROTATION}::test_rotate_all_replaces_both_and_no_call_fails_meanwhile"
    ),
    ("certs/README.md", "userquota certs drill…"): (
        f"{ROTATION}::test_a_drill_counts_the_calls_that_were_not_answered"
    ),
    ("docs/check.md", "userquota check -f examples/app.yaml…"): (
        "cli/test_check.py::test_the_example_of_the_document_says_what_stands_there"
    ),
    ("docs/check.md", "kubectl get pods,…"): POLICIES,
    ("docs/check.md", "kustomize build overlay | userquota check…"): POLICIES,
    ("docs/doctor.md", "userquota doctor --kubeconfig admin.conf"): (
        "doctor/test_on_a_cluster.py::test_the_command_of_the_document_says_what_stands_there"
    ),
    ("docs/image.md", "make image"): "image/test_built_image.py::test_the_same_inputs_give_the_same_bits",
    ("docs/install.md", "userquota preflight -f policy.yaml…"): f"{CLUSTER}::test_a_cluster_is_looked_at",
    ("docs/install.md", "jq -r …"): "test_commands.py::test_what_would_have_been_refused_is_counted",
    ("docs/install.md", "userquota policy test…"): "cli/test_recipes.py::test_the_command_of_the_document_runs_them",
    ("docs/liquid.md", "kubectl -n userquota-system create serviceaccount…"): (
        "cluster/test_liquid.py::test_who_may_call_is_a_matter_of_the_api_server"
    ),
    ("docs/liquid.md", "userquota selfcheck --project p-1 --zone a"): (
        "cluster/test_liquid.py::test_the_check_passes_and_leaves_nothing"
    ),
    ("docs/policy-tests.md", "userquota policy test…"): (
        "cli/test_policy_test_command.py::test_the_example_of_the_document_says_what_stands_there"
    ),
    ("docs/policy-tests.md", "userquota policy diff main/policy.yaml policy.yaml"): POLICIES,
    ("docs/policy-tests.md", "userquota policy diff main/policy.yaml policy.yaml --usage usage.json"): POLICIES,
    ("docs/policy-tests.md", "userquota policy diff policy.yaml --live"): (
        "cluster/test_policy_edits.py::test_a_diff_says_who_would_be_over_by_what_is_used_there"
    ),
    ("docs/policy-tests.md", "kubectl get pods,…"): POLICIES,
    ("docs/policy.md", "userquota policy validate policy.yaml overlays/"): f"{CLUSTER}::test_policies_are_validated",
    ("docs/policy.md", "kustomize build overlays/lab |…"): f"{CLUSTER}::test_policies_are_validated",
    ("docs/sessions.md", "userquota preset roles…"): f"{CLUSTER}::test_the_roles_of_presets_are_applied",
    ("docs/view.md", "kubectl userquota get"): f"{CLUSTER}::test_people_are_shown_what_the_document_shows",
    ("docs/view.md", "kubectl userquota get allocations"): f"{CLUSTER}::test_people_are_shown_what_the_document_shows",
    ("docs/view.md", "userquota get allocations -A --selector…"): TAGS,
    ("docs/view.md", "userquota get allocations -o wide"): TAGS,
    ("docs/view.md", "kubectl get allocations.view.userquota.dev -A -l…"): TAGS,
    ("docs/view.md", "kubectl userquota denials…"): f"{CLUSTER}::test_denials_are_shown_as_in_the_document",
    ("manifests/README.md", "openssl req …"): "test_commands.py::test_api_servers_get_a_certificate",
    ("manifests/README.md", "kubectl create namespace…"): (
        "manifests/test_chart.py::test_the_commands_of_the_readme_install_it"
    ),
    ("manifests/README.md", "kubectl delete --selector…"): (
        "manifests/test_uninstalling.py::test_helm_removes_what_is_left_and_labels_find_what_it_cannot_know"
    ),
    ("manifests/README.md", "kubectl create clusterrolebinding…"): f"{CLUSTER}::test_some_see_all_quotas",
}

NO_NODES = "pods of a Deployment need nodes: manifests/test_manifests.py has the API server judge what is applied"
NO_RUNTIME = (
    "no container runtime: tests/kind has kind itself read the cluster file, and kubectl render what is installed"
)
OTHER_MINORS = "each minor takes minutes to build and to run: test_matrix.py has what becomes of the reports"
NO_REGISTRY = "it takes a registry and cosign: image/release.sh runs the same commands when it releases"
NOT_RUN = {
    ("certs/README.md", "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 …"): (
        "the replica of all tests would change its authority: registration/test_authority_succession.py does that"
    ),
    ("certs/README.md", "userquota serve --standalone…"): (
        "it takes a port that may be in use: test_readme.py runs the same on a free one"
    ),
    ("docs/image.md", "cosign verify…"): NO_REGISTRY,
    ("docs/install.md", "kubectl apply -k overlay/"): NO_NODES,
    ("docs/install.md", "kubectl -n userquota-system rollout status…"): NO_NODES,
    ("docs/kind.md", "make kind"): NO_RUNTIME,
    ("docs/kind.md", "make kind-test"): NO_RUNTIME,
    ("docs/kind.md", "make kind-down"): NO_RUNTIME,
    ("docs/versions.md", "make matrix"): OTHER_MINORS,
    ("docs/versions.md", 'make matrix MINORS="1.36 1.35"'): OTHER_MINORS,
    ("manifests/README.md", "kubectl apply -k manifests/…"): NO_NODES,
    ("manifests/README.md", "kubectl apply -k overlay/…"): NO_NODES,
    ("manifests/README.md", "kubectl delete mutatingwebhookconfiguration,…"): (
        "all tests in tests/cluster share these objects; cluster/running.py deletes them in the end"
    ),
}
ROWS = RUN_BY.keys() | NOT_RUN.keys()


def rows_of(document: str, text: str) -> list[tuple[str, str]]:
    """Return the rows about a command: they have all of it, or its beginning and `…`."""
    return [
        (each, told)
        for each, told in ROWS
        if each == document and (text == told or (told.endswith("…") and text.startswith(told.removesuffix("…"))))
    ]


@pytest.mark.parametrize("document", [each for each in DOCUMENTS if each not in WITH_LISTS_OF_THEIR_OWN])
def test_every_command_is_run_or_has_a_reason(document: str) -> None:
    forgotten = [each for each in commands_of(document) if not rows_of(document, each)]
    assert forgotten == [], f"name in {Path(__file__).name} the test that runs it, or why none does"


def test_every_row_is_about_a_command_and_names_a_test() -> None:
    told = [row for document in DOCUMENTS for each in commands_of(document) for row in rows_of(document, each)]
    assert sorted(told) == sorted(ROWS)
    assert RUN_BY.keys() & NOT_RUN.keys() == set()
    assert lost_tests([*RUN_BY.values(), *WITH_LISTS_OF_THEIR_OWN.values()]) == []


def test_commands_stand_behind_a_prompt_or_are_a_whole_block() -> None:
    text = "```console\n$ a  # b\nsaid\n$ c\n```\n\n```\n$ d\n```\n\n```sh\ne \\\n  f\n```\n"
    assert commands_in(text) == ["a  # b", "c", "d", "e \\\n  f\n"]
    assert rows_of("docs/new.md", "userquota get") == []


def run(line: str, folder: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", line],
        cwd=folder,
        env=os.environ | environ,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )


@pytest.mark.skipif(shutil.which("jq") is None, reason="needs jq")
def test_what_would_have_been_refused_is_counted(tmp_path: Path) -> None:
    prefix = "validate.userquota.dev/"
    over = {f"{prefix}tolerated": "exceeded quota: defaults.user", f"{prefix}found-by": "created it"}
    events = [
        {"annotations": {f"{prefix}owner": "bob", **over}},
        *[{"annotations": {f"{prefix}owner": "alice", **over}}] * 2,
        {"annotations": {f"{prefix}owner": "carol"}},
        {"verb": "get"},
    ]
    (tmp_path / "audit.log").write_text("".join(json.dumps(each) + "\n" for each in events))
    said = run(command("docs/install.md", "jq -r "), tmp_path).stdout
    assert [line.split(None, 2) for line in said.splitlines()] == [
        ["2", "alice", "exceeded quota: defaults.user"],
        ["1", "bob", "exceeded quota: defaults.user"],
    ]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_api_servers_get_a_certificate(tmp_path: Path) -> None:
    run(command("manifests/README.md", "openssl req "), tmp_path)
    verify = "openssl verify -purpose sslclient -CAfile client-ca.crt apiserver.crt"
    assert run(verify, tmp_path).stdout == "apiserver.crt: OK\n"
    assert "CN = kube-apiserver" in run("openssl x509 -in apiserver.crt -noout -subject", tmp_path).stdout


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_certificates_of_ones_own_are_served(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text("version: 1\n")
    block = command("certs/README.md", "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 ")
    held = HeldPort()
    held.release()
    environ = os.environ | {
        "PATH": f"{USERQUOTA.parent}:{os.environ['PATH']}",
        "USERQUOTA_DRAIN": "0",
        "USERQUOTA_LISTEN": f"127.0.0.1:{held.number}",
    }
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            ["bash", "-e", "-c", block], cwd=tmp_path, env=environ, stdout=log, stderr=log, start_new_session=True
        )
    try:
        deadline = time.monotonic() + 30
        url = f"https://127.0.0.1:{held.number}/readyz"
        while not ((tmp_path / "ca.pem").exists() and is_ok(ask(url, ca_file=tmp_path / "ca.pem"))):
            assert time.monotonic() < deadline, (tmp_path / "log").read_text()
            time.sleep(0.2)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=20)
    assert not re.search("error|denied", (tmp_path / "log").read_text())
