"""
Print how an image was built, as the predicate of SLSA's provenance v1, from the environment of the release workflow.

BASE is the base image by its digest; a release from a base that is only named is refused, since nobody could repeat it.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping
from typing import Any

_BUILD_TYPE = "https://userquota.dev/build/containerfile/v1"
_NEEDED = ("BASE", "GITHUB_REF", "GITHUB_REPOSITORY", "GITHUB_RUN_ID", "GITHUB_SERVER_URL", "GITHUB_SHA")


class ProvenanceError(Exception):
    """The environment does not say how the image is built."""


def provenance(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the predicate. Raises: ProvenanceError with the variable that is missing or wrong."""
    missing = [name for name in (*_NEEDED, "SOURCE_DATE_EPOCH") if not environ.get(name)]
    if missing:
        raise ProvenanceError(f"not in the environment: {', '.join(missing)}")
    base = re.fullmatch(r"(?P<name>\S+)@sha256:(?P<digest>[0-9a-f]{64})", environ["BASE"])
    if base is None:
        raise ProvenanceError(f"BASE names no digest: {environ['BASE']} (expected NAME@sha256:...)")
    repository = f"{environ['GITHUB_SERVER_URL']}/{environ['GITHUB_REPOSITORY']}"
    workflow = f"{repository}/.github/workflows/release.yml@{environ['GITHUB_REF']}"
    return {
        "buildDefinition": {
            "buildType": _BUILD_TYPE,
            "externalParameters": {"repository": repository, "ref": environ["GITHUB_REF"]},
            "internalParameters": {"SOURCE_DATE_EPOCH": environ["SOURCE_DATE_EPOCH"]},
            "resolvedDependencies": [
                {"uri": f"git+{repository}@{environ['GITHUB_REF']}", "digest": {"gitCommit": environ["GITHUB_SHA"]}},
                {"uri": f"docker://{base['name']}", "digest": {"sha256": base["digest"]}},
            ],
        },
        "runDetails": {
            "builder": {"id": workflow},
            "metadata": {"invocationId": f"{repository}/actions/runs/{environ['GITHUB_RUN_ID']}"},
        },
    }


if __name__ == "__main__":
    try:
        print(json.dumps(provenance(os.environ), indent=2))
    except ProvenanceError as error:
        sys.exit(f"provenance: {error}")
