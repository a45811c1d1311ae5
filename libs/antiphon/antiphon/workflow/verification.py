"""Whether code can lead on what other code has begun: each history is fed to it, and nothing leaves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from antiphon.app import App
from antiphon.errors import AntiphonError, NonDeterminism
from antiphon.handler import Workflow
from antiphon.messages import command_name
from antiphon.workflow.about import read_about
from antiphon.workflow.history import read
from antiphon.workflow.instance import Identity
from antiphon.workflow.kernel import close_instance, open_instance, refeed
from antiphon.workflow.turns import InputKind, KernelOptions


class Difference(NamedTuple):
    """Where a history cannot be led on: `recorded` and `made` are the first decisions that differ, in words.

    `made` is the error where there is no such decision, `line` that of the workflow; empty where it is not known.
    """

    service: str
    workflow: str
    instance: str
    run: int
    turn: int
    recorded: str
    made: str
    line: str

    def row(self) -> dict[str, str]:
        """As it is shown."""
        return {**{name: str(value) for name, value in self._asdict().items()}, "turn": f"{self.run}.{self.turn}"}


def difference(app: App, identity: Identity, records: Sequence[bytes], options: KernelOptions) -> Difference | None:
    """The first difference between a run's records, from turn 1 on, and what this app's code makes of them."""
    wire, turn = "", 0
    try:
        wire, version = _begun(records[0])
        definition = _definition(app, wire, version)
        instance = open_instance(definition, identity, options)
        try:
            for record in records:
                turn += 1
                refeed(instance, read(record))
        finally:
            close_instance(instance)
    except NonDeterminism as error:
        made, recorded = error.made or "(nothing more)", error.recorded or "(nothing more)"
        return Difference(app.service, _name(app, wire), *identity, error.turn, recorded, made, error.where)
    except Exception as error:  # whatever the code does with a history, the others are looked at too
        said = str(error) if isinstance(error, AntiphonError) else f"{type(error).__name__}: {error}"
        return Difference(app.service, _name(app, wire), *identity, turn, "", said, getattr(error, "where", ""))
    return None


def _begun(record: bytes) -> tuple[str, int]:
    """Type and version of the workflow whose run begins with this record."""
    first = read(record)
    if first.turn != 1 or first.input.kind is not InputKind.START:
        raise AntiphonError(f"its history begins with turn {first.turn}: the ones before it are missing")
    headers = dict(read_about(first.input.about).headers)
    return headers.get("ce_type", b"").decode(), first.version


def _definition(app: App, wire: str, version: int) -> Workflow:
    for workflow in app.workflows:
        if (workflow.message.type_name(), workflow.version) == (wire, version):
            return workflow
    raise AntiphonError(
        f"{app.service} has no workflow of {wire} in version {version}: register it beside the newer one"
    )


def _name(app: App, wire: str) -> str:
    return next((command_name(each.message) for each in app.workflows if each.message.type_name() == wire), wire)


def runs(turns: Mapping[tuple[str, int, int], bytes]) -> Iterable[tuple[Identity, list[bytes]]]:
    """Records of turns by instance, run and turn, put together to runs."""
    found: dict[Identity, list[bytes]] = {}
    for (instance, run, _), record in sorted(turns.items()):
        found.setdefault(Identity(instance, run), []).append(record)
    return found.items()
