"""The provenance names the commit and the base by their digests, or is refused."""

from __future__ import annotations

import pytest

from image.provenance import ProvenanceError, provenance

COMMIT, DIGEST = "c" * 40, "d" * 64
ENVIRON = {
    "BASE": f"example.com/python:3.12-slim@sha256:{DIGEST}",
    "GITHUB_REF": "refs/tags/v0.1.0",
    "GITHUB_REPOSITORY": "owner/userquota",
    "GITHUB_RUN_ID": "7",
    "GITHUB_SERVER_URL": "https://git.example.com",
    "GITHUB_SHA": COMMIT,
    "SOURCE_DATE_EPOCH": "1700000000",
}


def test_it_names_what_the_image_is_made_of() -> None:
    made = provenance(ENVIRON)
    assert [each["digest"] for each in made["buildDefinition"]["resolvedDependencies"]] == [
        {"gitCommit": COMMIT},
        {"sha256": DIGEST},
    ]
    workflow = "https://git.example.com/owner/userquota/.github/workflows/release.yml@refs/tags/v0.1.0"
    assert made["runDetails"]["builder"] == {"id": workflow}


@pytest.mark.parametrize(
    ("changed", "reported"),
    [
        ({"BASE": "example.com/python:3.12-slim"}, "BASE names no digest: example.com/python:3.12-slim"),
        ({"BASE": ""}, "not in the environment: BASE"),
        ({"GITHUB_SHA": "", "GITHUB_RUN_ID": ""}, "not in the environment: GITHUB_RUN_ID, GITHUB_SHA"),
    ],
)
def test_what_nobody_could_repeat_is_refused(changed: dict[str, str], reported: str) -> None:
    with pytest.raises(ProvenanceError, match=reported):
        provenance(ENVIRON | changed)
