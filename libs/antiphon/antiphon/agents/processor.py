"""A declared processor: who executes commands of which types, by which instructions, and for whom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from pydantic import JsonValue

from antiphon.errors import Permanent
from antiphon.messages import PRIORITIES


@dataclass(frozen=True, slots=True)
class Processor:
    """A declaration; `name` is unique among the present ones.

    An empty set of `tenants` or `priorities` means all of them. Skills are words of the declarer's own.
    """

    name: str
    command_types: frozenset[str]
    instructions: str
    created_at: datetime
    skills: frozenset[str] = frozenset()
    tenants: frozenset[str] = frozenset()
    priorities: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Requirements:
    """What a command asks of the one who executes it."""

    command_type: str
    skills: frozenset[str] = frozenset()
    tenant: str | None = None
    priority: str = "normal"

    def __post_init__(self) -> None:
        if self.priority not in PRIORITIES:
            raise Permanent(f"priority {self.priority!r} is none of {', '.join(PRIORITIES)}")

    def __str__(self) -> str:
        skills = f", skills {', '.join(sorted(self.skills))}" if self.skills else ""
        tenant = f", tenant {self.tenant}" if self.tenant is not None else ""
        return f"{self.command_type}{skills}{tenant}, priority {self.priority}"

    def unmet(self, processor: Processor) -> str | None:
        """Why this processor cannot execute the command, in a few words; None if it can.

        A command without a tenant goes to nobody who serves certain tenants only.
        """
        if self.command_type not in processor.command_types:
            return f"executes {', '.join(sorted(processor.command_types)) or 'nothing'}"
        if missing := self.skills - processor.skills:
            return f"lacks {', '.join(sorted(missing))}"
        if processor.tenants and self.tenant not in processor.tenants:
            return "serves other tenants"  # whom it serves is nobody else's business
        if processor.priorities and self.priority not in processor.priorities:
            return f"takes priority {', '.join(sorted(processor.priorities))}"
        return None


def requirements(
    command_type: str, parameters: Mapping[str, JsonValue], *, priority: str = "normal", tenant: str | None = None
) -> Requirements:
    """What a command of this type with these parameters asks for.

    `priority` and `tenant` are the envelope's. The parameters may name a `skill`, or a list of `skills`; a `tenant`
    there counts only where the envelope has none. Permanent if one of them is no text.
    """
    skills = [
        *_texts("skill", parameters.get("skill")),
        *_texts("skills", parameters.get("skills")),
    ]
    named = _texts("tenant", parameters.get("tenant"))
    if len(named) > 1:
        raise Permanent(f"parameter tenant names {len(named)} tenants; name one")
    return Requirements(command_type, frozenset(skills), tenant or next(iter(named), None), priority)


def _texts(name: str, value: JsonValue) -> list[str]:
    given = value if isinstance(value, list) else [] if value is None else [value]
    found = [text for text in given if isinstance(text, str) and text]
    if len(found) < len(given):
        raise Permanent(f"parameter {name} is {value!r}; give a text, or a list of texts")
    return found
