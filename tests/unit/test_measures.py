"""How busy handlers and processors are, how far the read side is behind, what models do: as metrics."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from antiphon.app import App
from antiphon.broker import Partition
from antiphon.clocks.virtual import VirtualClock
from antiphon.context import Context
from antiphon.declarations import Load
from antiphon.errors import LlmBadAnswer, LlmTimedOut
from antiphon.llm import ChatMessage, Completion, Llm, Prompt, Usage
from antiphon.llms.measured import MeasuredLlm
from antiphon.llms.scripted import Rule, ScriptedLlm
from antiphon.messages import Command
from antiphon.metrics import OTHERS
from antiphon.processing.measures import PROCESSORS_SHOWN
from antiphon.status.measures import Behind
from antiphon.telemetry.prometheus import PrometheusMetrics
from tests.processing.manual_executor import ManualExecutor
from tests.processing.world import World

MIX = "kitchen.<locals>.mix"


class Mix(Command, service="kitchen", key="bowl"):
    bowl: str


def kitchen() -> App:
    app = App("kitchen")

    @app.command()
    def mix(command: Mix, ctx: Context) -> None: ...

    return app


class TestWorker:
    @pytest.mark.promise("S0-53")
    def test_a_handler_is_busy_from_its_start_to_its_end(self) -> None:
        app, metrics, executor = kitchen(), PrometheusMetrics(), ManualExecutor()
        world = World(app)
        world.worker(app, metrics=metrics, executor=executor, in_flight=7)
        world.serve()
        executor.hold_handlers = True
        world.send(*(world.record(Mix(bowl=str(number))) for number in range(3)))
        sent = world.clock.now()
        world.until(lambda: shown(metrics, "handler_running", handler=MIX) == 3, "all three run")
        assert shown(metrics, "in_flight_limit") == 7
        age = shown(metrics, "oldest_record_age_seconds")
        assert age is not None
        assert age == pytest.approx(world.clock.now() - sent, abs=0.6)
        executor.release()
        world.until(lambda: shown(metrics, "handler_running", handler=MIX) == 0, "none runs any more")
        assert shown(metrics, "oldest_record_age_seconds") == 0

    @pytest.mark.promise("S0-53", "S0-55")
    def test_declared_processors_are_told_apart_up_to_a_number_and_forgotten_when_they_are_gone(self) -> None:
        app, metrics = kitchen(), PrometheusMetrics()
        world = World(app)
        loads: Mapping[str, Load] = {f"cook {number:03}": Load(1, 2) for number in range(PROCESSORS_SHOWN + 5)}
        app.controls.loads = lambda: loads
        world.worker(app, metrics=metrics)
        world.until(lambda: shown(metrics, "processor_busy", processor="cook 000") == 1, "the first one is shown")
        assert shown(metrics, "processor_busy", processor=OTHERS) == 5
        assert shown(metrics, "processor_commands_total", processor=OTHERS) == 10
        loads = {"cook 000": Load(0, 3)}
        world.until(lambda: shown(metrics, "processor_commands_total", processor="cook 000") == 3, "it has done more")
        assert shown(metrics, "processor_busy", processor="cook 001") is None
        assert shown(metrics, "processor_busy", processor=OTHERS) is None


def shown(metrics: PrometheusMetrics, name: str, **labels: str) -> float | None:
    """The sample of the kitchen."""
    return metrics.registry.get_sample_value(f"antiphon_{name}", {"service": "kitchen", **labels})


class TestBehind:
    def test_the_lag_is_the_age_of_the_oldest_end_that_was_not_reached(self) -> None:
        one, two, behind = Partition("t", 0), Partition("t", 1), Behind()
        assert behind.seconds(100.0, {one: 5, two: 5}, {one: 0, two: 0}) == 0
        assert behind.seconds(105.0, {one: 9, two: 5}, {one: 4, two: 0}) == 0
        assert behind.seconds(110.0, {one: 9, two: 5}, {one: 1, two: 0}) == 5
        assert behind.seconds(115.0, {one: 12, two: 5}, {one: 3, two: 0}) == 0
        assert behind.seconds(118.0, {one: 12, two: 5}, {one: 1, two: 0}) == 3
        assert behind.seconds(120.0, {one: 12, two: 5}, {one: 0, two: 0}) == 0


class Slow(ScriptedLlm):
    """Takes two seconds, and tells how many tokens it took."""

    def __init__(self, clock: VirtualClock, error: Exception | None = None) -> None:
        super().__init__([Rule(".", "yes")])
        self._clock, self._error = clock, error

    async def complete(self, prompt: Prompt) -> Completion:
        self._clock.advance(2.0)
        if self._error is not None:
            raise self._error
        return Completion("yes", "a name that the server makes up", usage=Usage(30, 4))


class TestModels:
    PROMPT = Prompt("Say yes.", (ChatMessage("user", "Well?"),))

    async def test_tokens_and_durations_are_those_of_the_model_that_was_set(self) -> None:
        clock, metrics = VirtualClock(), PrometheusMetrics()
        llm: Llm = MeasuredLlm(Slow(clock), "large", metrics, clock)
        assert (await llm.complete(self.PROMPT)).text == "yes"
        value = metrics.registry.get_sample_value
        assert value("antiphon_llm_tokens_total", {"model": "large", "token_type": "input"}) == 30
        assert value("antiphon_llm_tokens_total", {"model": "large", "token_type": "output"}) == 4
        assert value("antiphon_llm_request_duration_seconds_sum", {"model": "large", "outcome": "answered"}) == 2

    @pytest.mark.parametrize(("error", "outcome"), [(LlmTimedOut("slow"), "timeout"), (LlmBadAnswer("x"), "failed")])
    async def test_what_a_model_does_not_answer_is_counted_by_its_reason(self, error: Exception, outcome: str) -> None:
        clock, metrics = VirtualClock(), PrometheusMetrics()
        with pytest.raises(type(error)):
            await MeasuredLlm(Slow(clock, error), "large", metrics, clock).complete(self.PROMPT)
        labels = {"model": "large", "outcome": outcome}
        assert metrics.registry.get_sample_value("antiphon_llm_request_duration_seconds_count", labels) == 1
