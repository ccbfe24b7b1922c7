"""
Our webhook configurations in the API server: where it calls us, and what it trusts.

Which requests they match is said in ``manifests/`` and nowhere here; certificates are made elsewhere too.
"""

from webhook.registration.forms import ServiceForm, UrlForm
from webhook.registration.manifest import RegistrationError, WebhookManifest, read_manifest
from webhook.registration.reconciler import Registration

__all__ = ["Registration", "RegistrationError", "ServiceForm", "UrlForm", "WebhookManifest", "read_manifest"]
