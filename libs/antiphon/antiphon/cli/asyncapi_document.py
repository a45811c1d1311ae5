"""The catalogue as an AsyncAPI 3.0 document."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable, Iterator
from typing import Any

from antiphon.catalogue import Catalogue
from antiphon.cli.sending import Sending
from antiphon.codecs.schema_files import schema_of
from antiphon.messages import Command, Event, Message

AVRO = "application/vnd.apache.avro+json;version=1.11.0"
Json = dict[str, Any]
# of CloudEvents' binary mode in Kafka, as far as every message has them
_HEADERS: Json = {
    "type": "object",
    "properties": {
        "ce_specversion": {"const": "1.0"},
        "ce_type": {"type": "string", "description": "The name of the message on the wire."},
        "ce_id": {"type": "string", "format": "uuid", "description": "The same again is handled once."},
        "ce_correlationid": {"type": "string", "maxLength": 128},
        "ce_time": {"type": "string", "format": "date-time"},
        "content-type": {"enum": ["avro/binary", "application/json"]},
    },
    "required": ["ce_type"],
}


def document(catalogue: Catalogue, sending: Sending, *, title: str, version: str) -> Json:
    """Channels are topics, messages are classes, operations those of the services.

    What a handler sends without declaring it is in it as far as `sending` has seen it.
    """
    found = _Document(catalogue, sending)
    return {
        "asyncapi": "3.0.0",
        "info": {"title": title, "version": version},
        "defaultContentType": "avro/binary",
        "channels": found.channels(),
        "operations": dict(sorted(found.operations())),
        "components": {"messages": {_key(kind): _message(kind) for kind in found.kinds.values()}},
    }


def written(found: Json) -> str:
    """As the text of a file."""
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"


class _Document:
    """What lies on which topic, and who reads or writes it."""

    def __init__(self, catalogue: Catalogue, sending: Sending) -> None:
        self._catalogue, self._sending = catalogue, sending
        self._names = catalogue.installation.names
        self.kinds = dict(sorted({**sending.kinds, **catalogue.types}.items()))
        self._told: dict[str, list[str]] = {service: [] for service in catalogue.apps}
        for wire, kind in self.kinds.items():
            if issubclass(kind, Command):
                self._told.setdefault(kind.service, []).append(wire)
        self._events = {
            kind.family: sorted(wire for wire, each in self.kinds.items() if _in_family(each, kind.family))
            for kind in self.kinds.values()
            if issubclass(kind, Event) and kind.family
        }

    def channels(self) -> Json:
        """Command topics with their lanes, event families, and where answers go."""
        names, found = self._names, {}
        for service, wires in sorted(self._told.items()):
            app = self._catalogue.apps.get(service)
            about = f"What {service} is told to do{'' if app else ', which is not among these apps'}."
            for topic in (names.commands(service), *(names.lanes(service, app.lanes) if app else ())):
                found[topic] = self._channel(topic, about, wires)
        for family, wires in sorted(self._events.items()):
            found[names.events(family)] = self._channel(names.events(family), f"Facts of the family {family}.", wires)
        answers = [wire for wire, kind in self.kinds.items() if not issubclass(kind, Command | Event)]
        about = "Answers to whoever has stated its partition in ce_replyto."
        found[names.replies] = self._channel(names.replies, about, [*answers, *self._answering_events()])
        return found

    def operations(self) -> Iterator[tuple[str, Json]]:
        """What each service receives (and answers), and what it sends."""
        for service, app in sorted(self._catalogue.apps.items()):
            for handler in (*app.commands, *app.workflows):
                wire = handler.message.type_name()
                operation = self._operation("receive", self._names.commands(service), [wire])
                if handler.returns is not None:
                    operation["reply"] = self._reply(handler.returns.type_name())
                operation["summary"] = f"{service} carries out {handler.message.__name__}."
                yield f"{service}.receive.{handler.message.__name__}", operation
            for family in sorted({family for handler in app.events for family in handler.families}):
                heard = sorted({kind.type_name() for handler in app.events for kind in handler.messages})
                on_it = [wire for wire in heard if wire in self._events.get(family, ())]
                yield f"{service}.receive.{family}", self._operation("receive", self._names.events(family), on_it)
            yield from self._sent(service)

    def _sent(self, service: str) -> Iterator[tuple[str, Json]]:
        topics: dict[str, set[str]] = {}
        for edge in self._sending.edges:
            kind = self.kinds.get(edge.type)
            if edge.service != service or kind is None or edge.how in ("answer", "signal"):
                continue
            if issubclass(kind, Event):
                topics.setdefault(self._names.events(kind.family), set()).add(edge.type)
            elif issubclass(kind, Command):
                topics.setdefault(self._names.commands(kind.service), set()).add(edge.type)
        for topic, wires in topics.items():
            yield (
                f"{service}.send.{topic.removeprefix(self._names.prefix)}",
                self._operation("send", topic, sorted(wires)),
            )

    def _answering_events(self) -> list[str]:
        handlers = [each for app in self._catalogue.apps.values() for each in (*app.commands, *app.workflows)]
        found = {each.returns.type_name() for each in handlers if each.returns and issubclass(each.returns, Event)}
        return sorted(found)

    def _reply(self, wire: str) -> Json:
        topic = self._names.replies
        return {
            "address": {"location": "$message.header#/ce_replyto", "description": "TOPIC/PARTITION of the asker."},
            "channel": {"$ref": f"#/channels/{_pointer(topic)}"},
            "messages": [self._on(topic, wire)],
        }

    def _operation(self, action: str, topic: str, wires: Iterable[str]) -> Json:
        channel = {"$ref": f"#/channels/{_pointer(topic)}"}
        return {"action": action, "channel": channel, "messages": [self._on(topic, wire) for wire in wires]}

    def _on(self, topic: str, wire: str) -> Json:
        return {"$ref": f"#/channels/{_pointer(topic)}/messages/{_key(self.kinds[wire])}"}

    def _channel(self, topic: str, about: str, wires: Iterable[str]) -> Json:
        keys = {_key(self.kinds[wire]): None for wire in wires}
        return {
            "address": topic,
            "description": about,
            "messages": {key: {"$ref": f"#/components/messages/{key}"} for key in keys},
            "bindings": {"kafka": {"partitions": self._catalogue.installation.partitions, "bindingVersion": "0.5.0"}},
        }


def _message(kind: type[Message]) -> Json:
    found: Json = {
        "name": kind.type_name(),
        "title": kind.__name__,
        "contentType": "avro/binary",
        "headers": _HEADERS,
        "payload": {"schemaFormat": AVRO, "schema": schema_of(kind)},
    }
    if kind.__doc__ and kind.__doc__ != Message.__doc__:
        found["summary"] = inspect.cleandoc(kind.__doc__).partition("\n\n")[0]
    if kind.key_field is not None:
        key = {"type": "string", "description": f"The field {kind.key_field}."}
        found["bindings"] = {"kafka": {"key": key, "bindingVersion": "0.5.0"}}
    return found


def _in_family(kind: type[Message], family: str) -> bool:
    return issubclass(kind, Event) and kind.family == family


def _key(kind: type[Message]) -> str:
    """The name on the wire: of two families' classes of one name both are there."""
    return kind.type_name()


def _pointer(topic: str) -> str:
    return topic.replace("~", "~0").replace("/", "~1")
