"""The catalogue as a Mermaid flowchart: who sends what to whom."""

from __future__ import annotations

from collections.abc import Iterator

from antiphon.catalogue import Catalogue
from antiphon.cli.mermaid import home_of, identifier, short_type, text
from antiphon.cli.sending import Edge, Sending
from antiphon.messages import Command


def flowchart(catalogue: Catalogue, sending: Sending) -> str:
    """Commands as whole arrows from who sends them to who takes them, events as dotted ones by way of their family.

    A command that nobody was seen to send comes from `clients`; what could not be seen stands in comments.
    """
    lines = [*_nodes(catalogue, sending), *_commands(catalogue, sending.edges), *_events(catalogue, sending.edges)]
    return "\n".join(["flowchart LR", *(f"    {line}" for line in [*lines, *_unknown(sending)])])


def _nodes(catalogue: Catalogue, sending: Sending) -> Iterator[str]:
    yield 'clients(["clients"])'
    called = {home_of(edge.type) for edge in sending.edges if edge.how in ("call", "send", "compensate")}
    for service in sorted(catalogue.apps.keys() | called):
        flows = (
            sorted({handler.name.rpartition(".")[2] for handler in catalogue.apps[service].workflows})
            if service in catalogue.apps
            else []
        )
        about = "".join(f"<br/>{text(each)}" for each in flows)
        yield f'{_service(service)}["{text(service)}{about}"]'
    families = {family for app in catalogue.apps.values() for handler in app.events for family in handler.families}
    families |= {home_of(edge.type) for edge in sending.edges if edge.how == "publish"}
    for family in sorted(families):
        yield f'{_family(family)}{{{{"{text(family)}"}}}}'


def _commands(catalogue: Catalogue, edges: list[Edge]) -> Iterator[str]:
    seen = {(edge.service, edge.type) for edge in edges if edge.how in ("call", "send", "compensate")}
    for service, wire in sorted(seen):
        yield f'{_service(service)} -- "{text(short_type(wire))}" --> {_service(home_of(wire))}'
    sent = {wire for _, wire in seen}
    for wire, kind in sorted(catalogue.types.items()):
        if issubclass(kind, Command) and wire not in sent and kind.service in catalogue.apps:
            yield f'clients -- "{text(kind.__name__)}" --> {_service(kind.service)}'


def _events(catalogue: Catalogue, edges: list[Edge]) -> Iterator[str]:
    for service, wire in sorted({(edge.service, edge.type) for edge in edges if edge.how == "publish"}):
        yield f'{_service(service)} -. "{text(short_type(wire))}" .-> {_family(home_of(wire))}'
    for service, app in sorted(catalogue.apps.items()):
        for wire in sorted({kind.type_name() for handler in app.events for kind in handler.messages}):
            yield f'{_family(home_of(wire))} -. "{text(short_type(wire))}" .-> {_service(service)}'
    heard = {
        (service, kind.type_name())
        for service, app in catalogue.apps.items()
        for handler in app.events
        for kind in handler.messages
    }
    for service, wire in sorted({(edge.service, edge.type) for edge in edges if edge.how == "signal"} - heard):
        yield f'clients -. "signal {text(short_type(wire))}" .-> {_service(service)}'


def _unknown(sending: Sending) -> Iterator[str]:
    for line in sending.unknown:
        yield f"%% not seen: {line}"


def _service(name: str) -> str:
    return identifier("service", name)


def _family(name: str) -> str:
    return identifier("family", name)
