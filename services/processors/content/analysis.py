"""The contract of an analysis, and the offline one, which counts words and looks for patterns."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Set

from services.messages.processors import Analysis, ContentAnalyzed
from services.processors.content.entities import entities
from services.processors.content.sentiment import sentiment
from services.processors.content.topics import topics

_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")  # noqa: RUF001


class Analyst(ABC):
    """Finds in a text what is asked for; called on a thread of the pool, so it may wait."""

    @abstractmethod
    def analyze(self, text: str, wanted: Set[Analysis], most: int) -> ContentAnalyzed:
        """`most` bounds topics and entities; what is not wanted is None. Raises Permanent, or Retryable."""


class OfflineAnalyst(Analyst):
    """English; the same text always gives the same answer. It knows words and forms, not what is meant."""

    def analyze(self, text: str, wanted: Set[Analysis], most: int) -> ContentAnalyzed:
        return ContentAnalyzed(
            words=len(_WORD.findall(text)),
            sentiment=sentiment(text) if Analysis.SENTIMENT in wanted else None,
            topics=topics(text, most) if Analysis.TOPICS in wanted else None,
            entities=entities(text, most) if Analysis.ENTITIES in wanted else None,
            processor="offline-analyst",
            simulated=True,
        )
