"""What authors declare of dependencies and rates: figures that make no sense are refused where they are written."""

from __future__ import annotations

from typing import Any

import pytest

from antiphon import App, Command, ConfigurationError, Context, Dependency, DependencyDown, Rate, RetryAfter


class Call(Command, service="calling"):
    name: str


class CallAgain(Command, service="calling"):
    name: str


def test_a_dependency_has_the_usual_figures() -> None:
    crm = Dependency("crm")
    assert (crm.failures, crm.window, crm.open_for, crm.probes, crm.on) == (5, 30.0, 60.0, 3, (Exception,))


@pytest.mark.parametrize(
    ("name", "figures", "told"),
    [
        ("CRM", {}, "'CRM' is no name of a dependency"),
        ("crm", {"failures": 0}, "failures is 0, probes 3; each is at least 1"),
        ("crm", {"probes": 0}, "failures is 5, probes 0"),
        ("crm", {"open_for": "0s"}, "open_for is 0 s"),
        ("crm", {"window": 30}, "30 is not a duration"),
    ],
)
def test_a_dependency_that_makes_no_sense_is_refused(name: str, figures: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Dependency(name, **figures)


@pytest.mark.parametrize(
    ("rate", "per_second", "burst"),
    [(Rate("100/s"), 100, 100), (Rate("30/m"), 0.5, 1), (Rate("10/s", burst=50), 10, 50), (Rate("7200/h"), 2, 2)],
)
def test_a_rate_is_read_as_it_is_written(rate: Rate, per_second: float, burst: float) -> None:
    assert (rate.per_second, rate.burst, rate.per) == (per_second, burst, "type")


@pytest.mark.parametrize("text", ["100", "100/week", "0/s", "-1/s", "1.5/s", ""])
def test_a_text_that_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a rate"):
        Rate(text)


@pytest.mark.parametrize(("per", "burst", "told"), [("user", None, "not 'user'"), ("type", 0, "burst is 0")])
def test_a_rate_that_makes_no_sense_is_refused(per: Any, burst: int | None, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Rate("1/s", per=per, burst=burst)


def test_one_name_for_two_dependencies_is_found_before_anything_is_read() -> None:
    app = App("calling")

    @app.command(needs=[Dependency("crm"), Dependency("mail")])
    def call(command: Call, ctx: Context) -> None: ...

    @app.command(needs=[Dependency("crm", failures=2), Dependency("mail")])
    def call_again(command: CallAgain, ctx: Context) -> None: ...

    with pytest.raises(ConfigurationError, match="dependency 'crm' is declared with different figures") as refused:
        app.check()
    assert len(refused.value.mistakes) == 1


def test_a_dependency_that_is_down_is_an_error_to_try_again_later() -> None:
    error = DependencyDown(Dependency("crm"), retry_after="90s")
    assert isinstance(error, RetryAfter)
    assert (str(error), error.delay, error.retry_after) == ("crm is down", 90.0, 90.0)
    assert DependencyDown(Dependency("crm"), "maintenance").retry_after is None
