"""
The options by which commands name a cluster: the same words and the same defaults everywhere.
"""

from __future__ import annotations

from pathlib import Path

import click

kubeconfig_option = click.option(
    "--kubeconfig",
    type=click.Path(path_type=Path),
    envvar=["USERQUOTA_KUBECONFIG", "KUBECONFIG"],
    help="The cluster. Default: $KUBECONFIG, else the cluster that this runs in.",
)

context_option = click.option("--context", help="The context of the kubeconfig. Default: its current one.")

namespace_option = click.option(
    "--namespace", default="userquota-system", show_default=True, help="Where userquota is installed."
)
