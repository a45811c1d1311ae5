"""Who is asked when a call has failed for good: a backup, then a person."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from antiphon.durations import Duration, seconds
from antiphon.messages import Command

Backup = type[Command[Any]] | Callable[[Any], Command[Any] | None]


@dataclass(frozen=True, slots=True)
class Escalation:
    """What follows when a call of a workflow has failed, after all that its `retry` allows.

    First the `backup` is called, with the same time limit and retries: another command of the same answer, given as its
    class (fields of the same name are copied) or as a function of the first command (None: there is no backup for it).
    Then a person of this `role` ("": anybody) is asked, for `timeout` at most (None: for ever). Approving tries the
    first command once more, a decision that brings an answer is that answer, refusing ends the call.

    Only a failure that is retryable is escalated, and none that somebody caused by a cancel: another is an answer, too.
    `Escalation()` escalates nothing, where the workflow has a default that does.
    """

    backup: Backup | None = None
    role: str | None = None
    timeout: Duration | None = None

    def __post_init__(self) -> None:
        if self.timeout is not None:
            seconds(self.timeout)
            if self.role is None:
                raise ValueError("Escalation has a timeout for a person and no role that says whom to ask")

    @property
    def patience(self) -> float | None:
        """For how many seconds a person is waited for."""
        return None if self.timeout is None else seconds(self.timeout)

    def check(self, command: type[Command[Any]]) -> None:
        """TypeError if the backup is a class that cannot stand in for this one."""
        if isinstance(self.backup, type) and (problem := _misfit(command, self.backup)):
            raise TypeError(problem)

    def backup_of(self, command: Command[Any]) -> Command[Any] | None:
        """What is called instead of this command, if anything (TypeError if it does not fit)."""
        if self.backup is None:
            return None
        if isinstance(self.backup, type):
            self.check(type(command))
            return _copied(command, self.backup)
        found = self.backup(command)
        if found is not None and (problem := _misfit(type(command), type(found), made=True)):
            raise TypeError(problem)
        return found


def _copied(command: Command[Any], backup: type[Command[Any]]) -> Command[Any]:
    fields = {name: getattr(command, name) for name in backup.model_fields if name in command.model_fields_set}
    return backup(**fields)


@lru_cache(maxsize=1024)
def _misfit(command: type[Command[Any]], backup: type[Any], *, made: bool = False) -> str | None:
    if not issubclass(backup, Command):
        return f"the backup of {command.__name__} is {backup.__name__}, which is no command"
    if backup.reply_type() is not command.reply_type():
        return (
            f"{backup.__name__} is no backup of {command.__name__}: it is answered with {backup.reply_type()}, "
            f"not with {command.reply_type()}"
        )
    needed = {name for name, field in backup.model_fields.items() if field.is_required()}
    missing = sorted(needed - set(command.model_fields))
    if missing and not made:
        return (
            f"{backup.__name__} needs {', '.join(missing)}, which {command.__name__} has not: "
            "give a function that makes the backup of a command"
        )
    return None
