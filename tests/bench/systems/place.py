"""Where one run happens: a cluster and topic names of its own."""

from __future__ import annotations

from typing import NamedTuple

from antiphon.topics import TopicNames
from tests.bench.messages import SOURCE_FAMILY, TARGET_FAMILY


class Place(NamedTuple):
    """A cluster, and the prefix of all topics and groups of one run."""

    bootstrap_servers: str
    prefix: str

    @property
    def names(self) -> TopicNames:
        """Every system uses the topic names that Antiphon has."""
        return TopicNames(self.prefix)

    @property
    def source(self) -> str:
        """The events that are read (Antiphon's command handler reads commands instead)."""
        return self.names.events(SOURCE_FAMILY)

    @property
    def target(self) -> str:
        """Where the outputs go."""
        return self.names.events(TARGET_FAMILY)

    @property
    def group(self) -> str:
        """The consumer group of a system that is not Antiphon."""
        return f"{self.prefix}bench"
