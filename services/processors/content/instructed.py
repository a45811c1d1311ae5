"""An analysis by a declared processor: what its model has answered, as the reply that askers know."""

from __future__ import annotations

from pydantic import ValidationError

from antiphon.agents.pool import Execution
from antiphon.errors import LlmBadAnswer
from services.messages.processors import ContentAnalyzed


def by_processor(offline: ContentAnalyzed, execution: Execution) -> ContentAnalyzed:
    """The model's findings; where no model is at work, the offline ones in the processor's name.

    An analysis that nobody asked for is left out, and one that was asked for must be there (LlmBadAnswer).
    """
    if execution.simulated:
        return offline.model_copy(update={"processor": execution.processor})
    found = execution.response if isinstance(execution.response, dict) else {}
    wanted = {name for name in ("sentiment", "topics", "entities") if getattr(offline, name) is not None}
    if missing := wanted - {name for name in wanted if found.get(name) is not None}:
        raise LlmBadAnswer(f"{execution.processor} has left out {', '.join(sorted(missing))}")
    try:
        return ContentAnalyzed.model_validate(
            {
                "words": offline.words,
                **{name: found[name] for name in wanted},
                "processor": execution.processor,
                "simulated": False,
            }
        )
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise LlmBadAnswer(f"{execution.processor} has answered wrongly, {where}: {first['msg']}") from None
