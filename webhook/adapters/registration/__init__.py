"""
Our webhook configurations in the API server: where it calls us, and what it trusts.

Which requests they match is said in ``manifests/`` and nowhere here; certificates are made elsewhere too.
"""

from webhook.adapters.registration.errors import RegistrationError
from webhook.adapters.registration.forms import ServiceForm, UrlForm
from webhook.adapters.registration.keeper import Registration
from webhook.adapters.registration.manifest import WebhookManifest, read_manifest

__all__ = ["Registration", "RegistrationError", "ServiceForm", "UrlForm", "WebhookManifest", "read_manifest"]
