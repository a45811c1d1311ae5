"""Everything a set of apps needs of the cluster: topics, types, owners; computed, never written by hand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from antiphon.app import App
from antiphon.broker import TopicDescription, TopicPlan
from antiphon.control import ReplicaSeen
from antiphon.errors import ConfigurationError, UnknownType
from antiphon.lifecycle import (
    CommandHasFailed,
    CommandProgressed,
    CommandSettled,
    CommandStarted,
    DeadLetter,
    DeadLetterClosed,
    Done,
    Refused,
)
from antiphon.messages import Command, Event, Message, command_name
from antiphon.topics import TopicNames, single_partition, topic_settings

DEFAULT_PARTITIONS = 12
PLATFORM: tuple[type[Message], ...] = (  # what every worker may write, beside the messages of its app
    CommandHasFailed,
    CommandProgressed,
    CommandSettled,
    CommandStarted,
    DeadLetter,
    DeadLetterClosed,
    Done,
    Refused,
    ReplicaSeen,
)


@dataclass(frozen=True, slots=True)
class Installation:
    """What all services of one installation share: topic names and the number of partitions N."""

    names: TopicNames = TopicNames()
    partitions: int = DEFAULT_PARTITIONS


def _messages(apps: Iterable[App]) -> set[type[Message]]:
    return {message for app in apps for message in app.messages}


def _clashes(apps: Iterable[App]) -> list[str]:
    """Two classes under one name on the wire."""
    found: dict[str, type[Message]] = {}
    wrong = []
    for message in sorted(_messages(apps), key=lambda kind: kind.__module__):
        other = found.setdefault(message.type_name(), message)
        if other is not message:
            places = f"{other.__module__} and {message.__module__}"
            wrong.append(f"{message.type_name()} is the name of two classes, in {places}: rename one")
    return wrong


class Catalogue:
    """The apps of an installation, checked together (ConfigurationError lists every mistake)."""

    def __init__(self, apps: Iterable[App], installation: Installation = Installation()) -> None:
        listed = list(apps)
        self.installation = installation
        self._check(listed)
        self.apps = {app.service: app for app in listed}
        messages = sorted(_messages(listed), key=lambda found: (found.__module__, found.__qualname__))
        self.types: dict[str, type[Message]] = {message.type_name(): message for message in messages}

    @staticmethod
    def _check(apps: list[App]) -> None:
        services = [app.service for app in apps]
        wrong = [f"two apps are named {name!r}" for name in sorted({s for s in services if services.count(s) > 1})]
        for app in apps:
            try:
                app.check()
            except ConfigurationError as error:
                wrong += error.mistakes
        wrong = wrong or _clashes(apps)
        if wrong:
            raise ConfigurationError(wrong)

    @property
    def commands(self) -> dict[str, type[Command[Any]]]:
        """Name as people write it (process_data) -> class."""
        found = [message for message in self.types.values() if issubclass(message, Command)]
        return {command_name(message): message for message in found}

    def command(self, name: str) -> type[Command[Any]]:
        """By snake-case name, class name or type on the wire (else UnknownType, which lists what there is)."""
        for message in self.commands.values():
            if name in (command_name(message), message.__name__, message.type_name()):
                return message
        raise UnknownType(f"there is no command {name!r}; there are {', '.join(sorted(self.commands)) or 'none'}")

    def topic_names(self) -> Iterator[str]:
        """Every topic of these apps and of the platform itself."""
        names = self.installation.names
        for app in self.apps.values():
            yield names.commands(app.service)
            yield from names.lanes(app.service, app.lanes)
            yield names.state(app.service)
        families = {message.family for message in self.types.values() if issubclass(message, Event)}
        for family in sorted(families | {CommandHasFailed.family}):
            yield names.events(family)
        yield from (names.replies, names.dead_letters, names.lifecycle, names.cancels)
        yield from (names.schemas, names.control, names.activity)
        if any(app.workflows for app in self.apps.values()):
            yield names.histories

    def plans(self) -> list[TopicPlan]:
        """Every topic with its partitions and settings."""
        names = self.installation.names
        return [
            TopicPlan(
                topic,
                1 if single_partition(names, topic) else self.installation.partitions,
                topic_settings(names, topic),
            )
            for topic in self.topic_names()
        ]

    def missing(self, found: Mapping[str, TopicDescription], topics: Iterable[str] | None = None) -> list[str]:
        """What the cluster lacks of these topics (all by default), one line each."""
        wanted = set(self.topic_names() if topics is None else topics)
        wrong = []
        for plan in self.plans():
            there = found.get(plan.name)
            if plan.name not in wanted:
                continue
            if there is None:
                wrong.append(f"topic {plan.name} does not exist: run `antiphon topics apply`")
            elif there.partitions != plan.partitions:
                wrong.append(
                    f"topic {plan.name} has {there.partitions} partitions, this installation has {plan.partitions}: "
                    "set ANTIPHON_PARTITIONS to what the cluster has; topics are never widened in place"
                )
        return wrong
