"""
Our webhook configurations in the API server: where it calls us, what it trusts, and which namespaces it leaves out.

Which requests they match is written in ``manifests/`` and nowhere here; certificates are made elsewhere too.
"""

from webhook.registration.api_service import ApiServiceBundle
from webhook.registration.changes import watches
from webhook.registration.counted_rules import CountedResources
from webhook.registration.drift import installed_in
from webhook.registration.exemptions import Exemptions, default_exemptions, read_live_exemptions
from webhook.registration.forms import Form, ServiceForm, UrlForm
from webhook.registration.manifest import RegistrationError, WebhookManifest, read_manifest
from webhook.registration.reconciler import Registration

__all__ = [
    "ApiServiceBundle",
    "CountedResources",
    "Exemptions",
    "Form",
    "Registration",
    "RegistrationError",
    "ServiceForm",
    "UrlForm",
    "WebhookManifest",
    "default_exemptions",
    "installed_in",
    "read_live_exemptions",
    "read_manifest",
    "watches",
]
