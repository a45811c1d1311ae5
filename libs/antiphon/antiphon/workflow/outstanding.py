"""What an instance waits for from its host, after a rebuild as before it."""

from __future__ import annotations

from typing import NamedTuple

from antiphon.workflow.instance import Instance
from antiphon.workflow.turns import ApprovalRequest, CommandRequest, Due, StepRequest
from antiphon.workflow.waits import AskPerson, Call, LocalStep


class Outstanding(NamedTuple):
    """Requests of former turns that have not been answered, in the order of their numbers.

    A new owner has the local steps run again. Commands have been sent: they are sent again only by a new run that is
    fed the history of another one (its ids differ), and cancelled when the instance is terminated.
    """

    commands: tuple[CommandRequest, ...]
    steps: tuple[StepRequest, ...]
    approvals: tuple[ApprovalRequest, ...]
    due: Due | None


def outstanding(instance: Instance) -> Outstanding:
    """All of them."""
    waiting = [who for _, who in sorted(instance.waiting.items())]
    return Outstanding(
        tuple(_command(instance, who) for who in waiting if isinstance(who, Call)),
        tuple(who.request for who in waiting if isinstance(who, LocalStep)),
        tuple(who.request for who in waiting if isinstance(who, AskPerson)),
        instance.next_due(),
    )


def _command(instance: Instance, call: Call) -> CommandRequest:
    due = instance.dues.get(call.number)
    deadline = None if due is None else due - instance.options.skew
    return call.request(deadline)
