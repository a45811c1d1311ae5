"""What can be registered with an app, in which order it runs, and what is refused."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any, cast

import pytest

from antiphon import App, Command, ConfigurationError, Context, Event, Handlers
from antiphon.processing.admission import routes


class ResourceChanged(Event, family="resource", key="name"):
    name: str


class ResourceCreated(ResourceChanged):
    pass


class ResourceDeleted(ResourceChanged):
    pass


class Trouble(Event):
    """Belongs to no family: it is never published, what is below it is."""

    why: str


class DiskFailed(Trouble, family="system-disk"):
    pass


class NetworkFailed(Trouble, family="system-network"):
    pass


class NetworkMended(Trouble, family="system-network"):
    pass


class Nameless(Event):
    """No family, and nobody below it."""


class Rename(Command, service="resources", key="name"):
    name: str


def mistakes(app: App) -> str:
    with pytest.raises(ConfigurationError) as refused:
        app.check()
    return str(refused.value)


def served(app: App) -> dict[str, list[str]]:
    """Handlers by the type that they are run for, in the order they run in."""
    return {
        name.decode().removeprefix("antiphon."): [handler.name.rpartition(".")[2] for handler in route.handlers]
        for name, route in routes(app).items()
    }


@pytest.mark.promise("S2-02", "S0-02")
def test_a_second_handler_of_a_command_is_refused_with_both_names() -> None:
    app = App("resources")

    @app.command()
    def rename(command: Rename, ctx: Context) -> None: ...

    @app.command()
    def rename_too(command: Rename, ctx: Context) -> None: ...

    assert mistakes(app).endswith("locals>.rename_too: a command has one")
    assert "Rename has two handlers" in mistakes(app)
    assert "<locals>.rename and" in mistakes(app)


@pytest.mark.promise("S2-28", "S2-03")
def test_handlers_of_one_event_are_run_by_their_order_and_as_declared_within_it() -> None:
    app = App("resources")

    @app.event(order=5)
    def last(event: ResourceCreated, ctx: Context) -> None: ...

    @app.event()
    def second(event: ResourceCreated, ctx: Context) -> None: ...

    @app.event(order=-1)
    def first(event: ResourceCreated, ctx: Context) -> None: ...

    @app.event()
    def third(event: ResourceChanged, ctx: Context) -> None: ...

    assert served(app)["resource.ResourceCreated"] == ["first", "second", "third", "last"]


@pytest.mark.promise("S2-15", "S2-12")
def test_a_subscription_to_a_class_is_one_to_all_below_it_in_whatever_family() -> None:
    app = App("resources")

    @app.event()
    def on_change(event: ResourceChanged, ctx: Context) -> None: ...

    @app.event(start="earliest")
    def on_trouble(event: Trouble, ctx: Context) -> None: ...

    app.check()
    assert served(app) == {
        "resource.ResourceChanged": ["on_change"],
        "resource.ResourceCreated": ["on_change"],
        "resource.ResourceDeleted": ["on_change"],
        "system-disk.DiskFailed": ["on_trouble"],
        "system-network.NetworkFailed": ["on_trouble"],
        "system-network.NetworkMended": ["on_trouble"],
    }


@pytest.mark.promise("S2-15")
def test_a_pattern_takes_the_events_whose_names_fit_and_no_others() -> None:
    app = App("resources")

    @app.event(matching="system-*.*Failed")
    def on_failure(event: Event, ctx: Context) -> None: ...

    @app.event(matching="resource.ResourceCreated")
    def on_created(event: ResourceChanged, ctx: Context) -> None: ...

    app.check()
    assert served(app) == {
        "system-disk.DiskFailed": ["on_failure"],
        "system-network.NetworkFailed": ["on_failure"],
        "resource.ResourceCreated": ["on_created"],
    }


@pytest.mark.promise("S2-15")
def test_a_subscription_that_can_never_run_is_refused_with_what_there_is() -> None:
    app = App("resources")

    @app.event(matching="resource.created")
    def on_created(event: ResourceChanged, ctx: Context) -> None: ...

    @app.event()
    def on_nothing(event: Nameless, ctx: Context) -> None: ...

    @app.event()
    def on_everything(event: Event, ctx: Context) -> None: ...

    never, nothing, everything = mistakes(app).splitlines()
    assert "on_created would never run: nothing that is named like 'resource.created'" in never
    assert "resource.ResourceCreated" in never
    assert "on_nothing would never run" in nothing
    assert "annotate 'event' with a Event class" in everything


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package whose modules register handlers without knowing the app."""
    name = f"shop_{tmp_path.name.replace('-', '_')}"
    package = tmp_path / name
    (package / "desk").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "desk" / "__init__.py").write_text("from antiphon import Handlers\n")
    for module, what in (("renaming", "command"), ("watching", "event")):
        kind = {"command": "Rename", "event": "ResourceCreated"}[what]
        (package / "desk" / f"{module}.py").write_text(
            "from antiphon import Context, Handlers\n"
            f"from {__name__} import {kind}\n"
            "handlers = again = Handlers()\n"
            f"@handlers.{what}()\n"
            f"def {module}(message: {kind}, ctx: Context) -> None: ...\n"
        )
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


@pytest.mark.promise("S2-16")
def test_the_handlers_of_a_package_are_found_wherever_they_lie_in_it(shop: str) -> None:
    app = App("resources")
    app.include(shop)
    app.check()
    assert served(app) == {"resources.Rename": ["renaming"], "resource.ResourceCreated": ["watching"]}
    other = App("resources")
    other.include(sys.modules[f"{shop}.desk.renaming"])
    assert served(other) == {"resources.Rename": ["renaming"]}


@pytest.mark.promise("S2-16")
def test_an_app_may_include_the_package_that_it_lies_in_itself(shop: str) -> None:
    folder = Path(str(importlib.import_module(shop).__file__)).parent
    (folder / "app.py").write_text('from antiphon import App\napp = App("resources")\napp.include(__package__)\n')
    importlib.invalidate_caches()
    assert served(importlib.import_module(f"{shop}.app").app) == {
        "resources.Rename": ["renaming"],
        "resource.ResourceCreated": ["watching"],
    }


@pytest.mark.promise("S2-16", "S2-22")
def test_including_what_has_no_handlers_or_does_not_exist_is_refused(shop: str) -> None:
    app = App("resources")
    with pytest.raises(ConfigurationError, match=r"nothing to include in json\.decoder"):
        app.include("json.decoder")
    with pytest.raises(ConfigurationError, match="there is no module no_such_shop"):
        app.include("no_such_shop")


@pytest.mark.promise("S2-17")
def test_a_handler_may_be_registered_at_run_time_but_not_too_late() -> None:
    def rename(command: Rename, ctx: Context) -> None: ...

    group = Handlers()
    group.command()(rename)
    app = App("resources")
    app.include(group)
    assert served(app) == {"resources.Rename": ["rename"]}
    with pytest.raises(ConfigurationError, match="rename comes too late"):
        group.command()(rename)


@pytest.mark.promise("S2-20")
def test_a_handler_takes_one_message_class_and_a_context() -> None:
    app = App("resources")

    @app.event()
    def either(event: ResourceCreated | DiskFailed, ctx: Context) -> None: ...

    def alone(command: Rename) -> None: ...

    app.command()(cast(Any, alone))
    lines = mistakes(app).splitlines()
    assert "a handler takes a message and a context, not ['command']" in lines[0]
    assert "annotate 'event' with a Event class" in lines[1]
