"""
The HTTP side: bodies in, answers out, health and metrics. HTTP/1.1 over TLS, as the API server speaks it to webhooks.

What HTTP is, is aiohttp's matter. What the answer is comes from the handlers that the server is given.
"""

from __future__ import annotations

from webhook.adapters.http_server.replies import Answer, Meter
from webhook.adapters.http_server.server import KEEP_ALIVE, MAX_BODY, Health, HttpServer

__all__ = ["KEEP_ALIVE", "MAX_BODY", "Answer", "Health", "HttpServer", "Meter"]
