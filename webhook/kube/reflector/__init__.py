"""
Keep a sink in step with one collection of the API server (`Reflector`).

The sink knows what the objects mean; requests and their errors are those of `webhook.kube.api`.
"""

from webhook.kube.reflector.events import ApiObject, ResourceVersionError, Sink, Undecodable
from webhook.kube.reflector.recovery import Cause
from webhook.kube.reflector.reflector import Reflector

__all__ = ["ApiObject", "Cause", "Reflector", "ResourceVersionError", "Sink", "Undecodable"]
