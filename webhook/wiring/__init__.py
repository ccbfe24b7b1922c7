"""
Builds every adapter once and hands it on: the only package that knows them all. What runs in production is here.
"""

from __future__ import annotations

from webhook.settings import Settings
from webhook.wiring.application import Application
from webhook.wiring.in_cluster import build_in_cluster
from webhook.wiring.standalone import build_standalone

__all__ = ["Application", "build"]


async def build(settings: Settings) -> Application:
    """
    Give the application for *settings*, built and not yet running.

    Raises: WebhookError with what is wrong and what to do.
    """
    return build_standalone(settings) if settings.standalone else await build_in_cluster(settings)
