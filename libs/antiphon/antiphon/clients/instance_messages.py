"""From what an instance of a workflow is to be told to the record that tells it."""

from __future__ import annotations

from uuid import UUID, uuid4

from antiphon.broker import Headers, Outgoing
from antiphon.catalogue import Installation
from antiphon.client import InstanceMessage
from antiphon.envelope import JSON, SPECVERSION, rfc3339
from antiphon.errors import MessageTooLarge
from antiphon.instances import INSTANCE


class InstanceRecords:
    """Writes and places them; `message_bytes` is the most that one may have. As JSON, which needs no schema."""

    def __init__(self, installation: Installation, name: str, message_bytes: int) -> None:
        self._names = installation.names
        self._source = f"client/{name}".encode()
        self._limit = message_bytes

    def record(self, message: InstanceMessage, when: float) -> tuple[UUID, Outgoing]:
        """Its id, and its record in the slice of the instance (MessageTooLarge for one that no service would take)."""
        kind = type(message.event)
        value = message.event.model_dump_json().encode()
        if len(value) > self._limit:
            raise MessageTooLarge(kind.__name__, len(value), self._limit)
        id_ = message.message_id or uuid4()
        headers: Headers = [
            SPECVERSION,
            ("ce_source", self._source),
            ("ce_type", kind.type_name().encode()),
            JSON,
            ("ce_id", str(id_).encode()),
            ("ce_time", rfc3339(when).encode()),
            ("ce_correlationid", message.correlation_id.encode()),
            (INSTANCE, message.instance_id.encode()),
        ]
        topic = self._names.commands(message.service)
        return id_, Outgoing(topic, message.partition, message.instance_id.encode(), value, headers)
