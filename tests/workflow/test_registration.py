"""Every mistake of a workflow's registration is found before anything is read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from antiphon import App, Context, Handlers, Retry, WorkflowContext
from antiphon.catalogue import Catalogue
from antiphon.errors import AntiphonError, ConfigurationError
from antiphon.testing.workflows import Rehearsal
from tests.workflow.messages import AssessVehicle, MaintainVehicle, MaintenanceDecided

DONE = MaintenanceDecided(action="done")


async def maintain(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
    return MaintenanceDecided(action="first")


async def maintain_2(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
    return MaintenanceDecided(action="second")


def mistakes(app: App) -> str:
    with pytest.raises(ConfigurationError) as found:
        app.check()
    return str(found.value)


def test_versions_of_one_workflow_stand_side_by_side_and_new_instances_begin_with_the_newest() -> None:
    app = App("maintenance")
    app.workflow(version=2, retry=Retry("1s"), timeout="1d")(maintain_2)
    app.workflow(version=1)(maintain)
    app.check()
    assert [(one.version, one.limit) for one in app.workflows] == [(2, 86400), (1, None)]
    assert Rehearsal(app).run(MaintainVehicle(vehicle_id="v")) == MaintenanceDecided(action="second")
    assert Rehearsal(app).run(MaintainVehicle(vehicle_id="v"), version=1) == MaintenanceDecided(action="first")
    with pytest.raises(AntiphonError, match="no workflow of MaintainVehicle, version 3"):
        Rehearsal(app).run(MaintainVehicle(vehicle_id="v"), version=3)


def test_the_messages_of_a_workflow_stand_in_the_catalogue() -> None:
    app = App("maintenance")
    app.workflow()(maintain)
    catalogue = Catalogue([app])
    assert set(catalogue.types.values()) == {MaintainVehicle, MaintenanceDecided}
    assert catalogue.commands["maintain_vehicle"] is MaintainVehicle


def test_two_workflows_of_one_version_are_refused() -> None:
    app = App("maintenance")
    app.workflow(version=1)(maintain)
    app.workflow(version=1)(maintain_2)
    assert "two workflows of version 1, maintain and maintain_2; give the newer one the next version" in mistakes(app)


def test_a_command_has_a_handler_or_a_workflow_never_both() -> None:
    app = App("maintenance")
    app.workflow()(maintain)

    @app.command()
    def handle(command: MaintainVehicle, ctx: Context) -> MaintenanceDecided:
        return DONE

    assert "MaintainVehicle has a handler and a workflow, maintain" in mistakes(app)


def test_a_workflow_is_an_async_def_with_the_declared_answer_in_its_own_service() -> None:
    app = App("engagement")

    @app.workflow(version=0)
    async def assess(command: AssessVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
        return DONE

    def plain(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
        return DONE

    app.workflow()(plain)  # type: ignore[arg-type]
    found = mistakes(app)
    assert "AssessVehicle is answered with" in found
    assert "AssessVehicle belongs to service 'analysis', not 'engagement'" in found
    assert "has version 0; versions go from 1 to 65535" in found
    assert "plain is a workflow, so it must be an `async def`" in found


def test_a_service_that_keeps_no_state_has_no_workflows() -> None:
    app = App("maintenance", delivery="at_least_once")
    app.workflow()(maintain)
    assert "maintain is a workflow, which needs delivery='transactional'" in mistakes(app)


def test_workflows_of_a_module_are_included_and_no_middleware_is_around_them() -> None:
    handlers = Handlers()
    handlers.workflow(version=1)(maintain)
    app = App("maintenance")
    app.include(handlers)
    assert Rehearsal(app).run(MaintainVehicle(vehicle_id="v")) == MaintenanceDecided(action="first")
    with pytest.raises(ConfigurationError, match="too late"):
        handlers.workflow(version=2)(maintain_2)

    @app.middleware
    async def around(message: Any, ctx: Context, call_next: Callable[[], Awaitable[Any]]) -> Any:
        return await call_next()

    assert "maintain is a workflow, so no middleware is around it" in mistakes(app)
