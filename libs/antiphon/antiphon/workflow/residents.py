"""The instances that are in memory: made from their histories when an input comes, the oldest let go beyond a limit."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection

from antiphon.errors import WorkflowError
from antiphon.handler import Workflow
from antiphon.workflow.history import read
from antiphon.workflow.instance import Instance
from antiphon.workflow.kernel import close_instance, open_instance, rebuild
from antiphon.workflow.run import Run
from antiphon.workflow.turns import Input, KernelOptions


class NotRegistered(WorkflowError):
    """An instance is of a workflow, or a version of one, that this service does not have."""


class Definitions:
    """The workflows of a service, by type of their command and by version."""

    def __init__(self, workflows: Collection[Workflow]) -> None:
        self._of: dict[str, dict[int, Workflow]] = {}
        for workflow in workflows:
            self._of.setdefault(workflow.message.type_name(), {})[workflow.version] = workflow

    def newest(self, type_name: str) -> Workflow:
        """What a new run of this command is an instance of (NotRegistered)."""
        versions = self._of.get(type_name)
        if not versions:
            raise NotRegistered(f"this service has no workflow of {type_name!r}")
        return versions[max(versions)]

    def pinned(self, type_name: str, version: int) -> Workflow:
        """The one that a run began with (NotRegistered)."""
        versions = self._of.get(type_name, {})
        if version not in versions:
            known = ", ".join(map(str, sorted(versions))) or "none"
            raise NotRegistered(f"version {version} of the workflow of {type_name!r} is not registered ({known} are)")
        return versions[version]


class Residents:
    """At most `limit` instances in memory; the one that has been fed last stays longest."""

    def __init__(self, definitions: Definitions, options: KernelOptions, limit: int) -> None:
        self._definitions, self._options, self._limit = definitions, options, limit
        self._runs: OrderedDict[Run, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._runs)

    def open(self, run: Run, start: Input) -> Instance:
        """The instance of a run that is about to get its start (NotRegistered)."""
        run.begun_by(start)
        run.definition = run.definition or self._definitions.newest(run.command.type or "")
        return self.keep(run, open_instance(run.definition, run.identity, self._options))

    def of(self, run: Run) -> Instance:
        """The instance of a run that has begun: as it is in memory, or fed its history again (WorkflowError)."""
        instance = run.instance
        if instance is None:
            return self.keep(run, self.rebuilt(run, run.records()))
        self._runs.move_to_end(run)
        return instance

    def rebuilt(self, run: Run, records: list[bytes]) -> Instance:
        """An instance with this run's identity, from these records (WorkflowError)."""
        run.definition = self._definitions.pinned(run.command.type or "", read(records[0]).version)
        return rebuild(run.definition, run.identity, self._options, records)

    def keep(self, run: Run, instance: Instance) -> Instance:
        """From now on this is the instance of the run."""
        run.instance = instance
        self._runs[run] = None
        while len(self._runs) > self._limit:
            self.drop(next(iter(self._runs)))
        return instance

    def drop(self, run: Run) -> None:
        """Take its instance out of memory, if it is there."""
        self._runs.pop(run, None)
        if run.instance is not None:
            close_instance(run.instance)
            run.let_go()

    def forget(self, numbers: Collection[int]) -> None:
        """Those of these slices."""
        for run in [run for run in self._runs if run.slice.number in numbers]:
            self.drop(run)
