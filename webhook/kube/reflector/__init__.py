"""
Keep a sink in step with one collection of the API server (``Reflector``).

What the objects mean is the sink's matter; requests and their errors are those of ``adapters.kubernetes_api``.
"""

from webhook.kube.reflector.events import ApiObject, ResourceVersionError, Undecodable
from webhook.kube.reflector.recovery import Cause
from webhook.kube.reflector.reflector import Reflector
from webhook.kube.reflector.sink import Sink

__all__ = ["ApiObject", "Cause", "Reflector", "ResourceVersionError", "Sink", "Undecodable"]
