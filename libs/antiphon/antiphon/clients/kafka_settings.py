"""The installation's librdkafka settings in the words of aiokafka."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiokafka.helpers import create_ssl_context  # type: ignore[import-untyped]

from antiphon.errors import ConfigurationError

Settings = Mapping[str, str | int | bool]

_NAMES = {
    "security.protocol": "security_protocol",
    "sasl.mechanism": "sasl_mechanism",
    "sasl.mechanisms": "sasl_mechanism",
    "sasl.username": "sasl_plain_username",
    "sasl.password": "sasl_plain_password",
}
_FILES = {
    "ssl.ca.location": "cafile",
    "ssl.certificate.location": "certfile",
    "ssl.key.location": "keyfile",
    "ssl.key.password": "password",
}


def aiokafka_settings(settings: Settings) -> dict[str, Any]:
    """Who we are and how the connection is secured; whatever merely tunes librdkafka says nothing to aiokafka.

    Raises ConfigurationError for a setting of `sasl` or `ssl` that aiokafka has not: it must not be dropped silently.
    """
    unknown = [name for name in settings if ("sasl" in name or "ssl" in name) and name not in {**_NAMES, **_FILES}]
    if unknown:
        known = ", ".join((*_NAMES, *_FILES))
        raise ConfigurationError(
            f"ANTIPHON_KAFKA has {name!r}, which asyncio clients cannot use; they know {known}" for name in unknown
        )
    found: dict[str, Any] = {_NAMES[name]: str(value) for name, value in settings.items() if name in _NAMES}
    if "client.id" in settings:
        found["client_id"] = str(settings["client.id"])
    protocol = found["security_protocol"] = found.get("security_protocol", "PLAINTEXT").upper()
    if protocol.endswith("SSL"):
        files = {_FILES[name]: str(value) for name, value in settings.items() if name in _FILES}
        found["ssl_context"] = create_ssl_context(**files)
    return found
