"""
Builds the application: the only package that imports every adapter and connects them.
"""

from __future__ import annotations

from webhook.settings import Settings
from webhook.wiring.application import Application
from webhook.wiring.in_cluster import build_in_cluster
from webhook.wiring.standalone import build_standalone

__all__ = ["Application", "build"]


async def build(settings: Settings) -> Application:
    """
    Build the application for *settings*, without starting it.

    Raises: WebhookError with the cause and what to do.
    """
    return build_standalone(settings) if settings.standalone else await build_in_cluster(settings)
