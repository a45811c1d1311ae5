"""What a worker reads beside its work: announced schemas, declarations, cancels."""

from __future__ import annotations

from collections.abc import Callable

from antiphon.broker import Admin
from antiphon.codec import Codec
from antiphon.executor import Intake
from antiphon.processing.announced import AnnouncedSchemas
from antiphon.processing.cancels import FollowedCancels
from antiphon.processing.following import FollowedControl
from antiphon.topics import TopicNames

AT_ONCE = 1000  # records of each that are taken in a turn


class PlatformTopics:
    """The topics `schemas`, `control` and `cancels`, each with a reader of its own."""

    def __init__(self, names: TopicNames, admin: Admin, codec: Codec, read: Callable[[int], Intake]) -> None:
        self._intakes = [read(AT_ONCE) for _ in range(3)]
        schemas, control, cancels = self._intakes
        self.schemas = AnnouncedSchemas(names.schemas, admin, schemas, codec)
        self.control = FollowedControl(names.control, admin, control)
        self.cancels = FollowedCancels(names.cancels, admin, cancels, codec)

    def again(self, topic: str) -> None:
        """If it is one of the first two whose position was lost, read it from its start."""
        self.schemas.again(topic)
        self.control.again(topic)

    def close(self) -> None:
        """Stop reading."""
        for intake in self._intakes:
            intake.close()
