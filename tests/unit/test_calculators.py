"""Work in processes of its own: what comes back, what a process's end means, and that none is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from antiphon.errors import CalculatorDied, HandlerTimeout, Permanent, RetryAfter
from antiphon.executor import Calculation, Work
from antiphon.executors import calculators as pool
from antiphon.executors.calculator import Calculator
from antiphon.executors.event_loop import HandlerLimits, LoopExecutor
from tests.unit import calculating
from tests.waiting import until

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


class Sum(Work):
    """One call with what came of it."""

    __slots__ = ("arguments", "asynchronous", "calculated", "error", "fn", "result", "timeout")

    def __init__(self, fn: Callable[..., Any], *arguments: object, timeout: float = 20.0) -> None:
        self.fn, self.arguments, self.timeout = fn, arguments, timeout
        self.asynchronous, self.calculated, self.extend = False, True, None
        self.stop = None
        self.result: Any = None
        self.error: BaseException | None = None

    def start(self) -> None:
        raise AssertionError("it is not asynchronous")

    def call(self) -> None:
        raise AssertionError("it runs elsewhere")

    def calculation(self) -> Calculation:
        return Calculation(str(self.fn), self.fn, self.arguments)

    def succeed(self, result: object) -> None:
        self.result = result

    def fail(self, error: BaseException) -> None:
        self.error = error


@pytest.fixture(scope="module")
def executor() -> Iterator[LoopExecutor]:
    """One for all, since a process takes its time to start."""
    executor = LoopExecutor(HandlerLimits(calculators=2))
    yield executor
    executor.close(5)


def run(executor: LoopExecutor, *work: Sum) -> list[Work]:
    """Hand over and wait for all of it; in the order of ending."""
    executor.handle(work)
    ended: list[Work] = []

    def collect() -> bool:
        executor.wait(0.01)
        ended.extend(found for found in executor.ended() if found in work)
        return len(ended) >= len(work)

    until(collect, f"{len(work)} calls end", 30)
    assert Counter(map(id, ended)) == Counter(map(id, work))
    return ended


def test_what_is_computed_comes_back_from_another_process(executor: LoopExecutor) -> None:
    three, place = Sum(calculating.add, 1, 2), Sum(calculating.where)
    run(executor, three, place)
    assert three.result == 3
    assert place.result not in (None, os.getpid())


def test_what_is_raised_comes_back_as_it_was(executor: LoopExecutor) -> None:
    permanent, wish, odd = (
        Sum(calculating.refuse_by, "no"), Sum(calculating.wish_for, "20s"), Sum(calculating.be_odd, 7),
    )  # fmt: skip
    run(executor, permanent, wish, odd)
    assert (type(permanent.error), str(permanent.error)) == (Permanent, "no")
    assert isinstance(wish.error, RetryAfter)
    assert (wish.error.delay, str(wish.error)) == (20.0, "busy")
    assert (type(odd.error), str(odd.error)) == (ValueError, "not even")
    assert odd.error is not None
    cause = odd.error.__cause__
    assert isinstance(cause, calculating.Odd)
    assert (str(cause), cause.number, cause.__notes__) == ("7 is odd, in the list", 7, ["seen from here"])


def test_an_error_whose_class_nobody_else_knows_keeps_its_kind_and_its_words(executor: LoopExecutor) -> None:
    work = Sum(calculating.fail_unheard_of)
    run(executor, work)
    assert (type(work.error), str(work.error)) == (Permanent, "nobody else knows my class")


def test_what_cannot_be_sent_fails_for_good_and_alone(executor: LoopExecutor) -> None:
    there, back, fine = (
        Sum(calculating.add, lambda: 1), Sum(calculating.return_what_cannot_leave), Sum(calculating.add, 1, 1),
    )  # fmt: skip
    run(executor, there, back, fine)
    assert isinstance(there.error, Permanent)
    assert isinstance(back.error, Permanent)
    assert fine.result == 2


@pytest.mark.parametrize(
    ("fn", "arguments", "told"),
    [(calculating.die, (), "signal 9"), (calculating.leave, (3,), "code 3")],
)
def test_a_process_that_dies_fails_its_call_and_no_other(
    executor: LoopExecutor, fn: Callable[..., Any], arguments: tuple[object, ...], told: str
) -> None:
    fine = [Sum(calculating.add, number, 1) for number in range(20)]
    dying = Sum(fn, *arguments)
    run(executor, *fine[:10], dying, *fine[10:])
    assert isinstance(dying.error, CalculatorDied)
    assert told in str(dying.error)
    assert [work.result for work in fine] == list(range(1, 21))


def test_after_a_death_the_next_attempt_finds_a_new_process(executor: LoopExecutor, tmp_path: Path) -> None:
    first = Sum(calculating.die_once, str(tmp_path / "died"))
    run(executor, first)
    again = Sum(calculating.die_once, str(tmp_path / "died"))
    run(executor, again)
    assert (type(first.error), again.result) == (CalculatorDied, "alive")


def test_a_process_that_died_while_nothing_was_to_do_is_replaced_unnoticed(executor: LoopExecutor) -> None:
    place, after = Sum(calculating.where), Sum(calculating.where)
    run(executor, place)
    os.kill(place.result, signal.SIGKILL)
    until(lambda: not alive(place.result), "it is gone")
    run(executor, after)
    assert after.error is None
    assert after.result != place.result


def test_a_process_that_cannot_be_started_fails_its_call_and_the_next_one_finds_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    executor = LoopExecutor(HandlerLimits(calculators=1))
    start = Calculator._start

    def refuse(self: Calculator) -> None:
        monkeypatch.setattr(Calculator, "_start", start)
        raise OSError("no memory for another process")

    monkeypatch.setattr(Calculator, "_start", refuse)
    first, second = Sum(calculating.add, 1, 1), Sum(calculating.add, 1, 1)
    run(executor, first)
    run(executor, second)
    assert (type(first.error), str(first.error)) == (CalculatorDied, "the handler's process could not be started")
    assert (second.error, second.result) == (None, 2)
    executor.close(5)


@pytest.mark.promise("S0-46")
def test_a_call_that_takes_too_long_is_ended_with_its_process(executor: LoopExecutor, tmp_path: Path) -> None:
    path = tmp_path / "notes"
    place = Sum(calculating.where)
    run(executor, place)
    hanging, fine = Sum(calculating.hang, timeout=0.3), Sum(calculating.note, str(path), 1)
    run(executor, hanging, fine)
    assert isinstance(hanging.error, HandlerTimeout)
    assert fine.result == 1
    assert not executor.stuck()


def test_a_call_that_is_stopped_is_ended_with_its_process_and_no_other_is(executor: LoopExecutor) -> None:
    hanging, fine = Sum(calculating.hang), [Sum(calculating.add, number, 1) for number in range(10)]
    executor.handle([hanging])
    assert hanging.stop is not None
    hanging.stop()
    run(executor, *fine)
    until(lambda: hanging.error is not None, "it ends")
    assert "from outside" in str(hanging.error)
    assert [work.error for work in fine] == [None] * 10


def test_calls_that_were_handed_over_with_one_that_ends_the_process_are_made_again(
    executor: LoopExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool.Calculators, "_seconds", lambda self, task: 0.0)  # all of them together
    fine = [Sum(calculating.add, number, 1) for number in range(40)]
    hanging, dying = Sum(calculating.hang, timeout=0.2), Sum(calculating.die)
    run(executor, *fine[:20], hanging, *fine[20:], dying)
    assert isinstance(hanging.error, HandlerTimeout)
    assert isinstance(dying.error, CalculatorDied)
    assert [work.result for work in fine] == list(range(1, 41))


def test_a_thousand_small_calls_are_handed_over_many_at_a_time(
    executor: LoopExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    trips: list[int] = []
    calculate = Calculator.calculate

    def counted(self: Calculator, calls: Any, timeouts: Any, stopped: Any) -> Any:
        trips.append(len(calls))
        return calculate(self, calls, timeouts, stopped)

    monkeypatch.setattr(Calculator, "calculate", counted)
    run(executor, *(Sum(calculating.add, number, 1) for number in range(10)))
    trips.clear()
    work = [Sum(calculating.add, number, 1) for number in range(1000)]
    run(executor, *work)
    assert [one.result for one in work] == list(range(1, 1001))
    assert sum(trips) == 1000
    assert len(trips) <= 100


def test_long_calls_are_shared_out_one_by_one(executor: LoopExecutor, tmp_path: Path) -> None:
    path = tmp_path / "notes"
    run(executor, *(Sum(calculating.note, str(path), number, 0.03) for number in range(12)))
    found = Counter(line.split()[1] for line in path.read_text().splitlines())
    assert sum(found.values()) == 12
    assert len(found) == 2


# -- ends ------------------------------------------------------------------------------------------------------------


def alive(pid: int) -> bool:
    """Whether the process runs; one that has ended and is not collected yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_nothing_is_started_before_it_is_needed_and_nothing_is_left_when_it_ends() -> None:
    before = children(os.getpid())
    executor = LoopExecutor(HandlerLimits(calculators=2))
    assert children(os.getpid()) == before
    place = Sum(calculating.where)
    run(executor, place)
    hanging = Sum(calculating.hang)
    executor.handle([hanging])
    assert executor.close(5)
    assert executor.ended() == []
    assert not alive(place.result)


def children(pid: int) -> set[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return {int(child) for child in found}


PROGRAM = """
import sys
from tests.unit import calculating
from tests.unit.test_calculators import Sum, run
from antiphon.executors.event_loop import HandlerLimits, LoopExecutor

if __name__ == "__main__":
    executor = LoopExecutor(HandlerLimits(calculators=1))
    place = Sum(calculating.where)
    run(executor, place)
    print(place.result, flush=True)
    executor.handle([Sum(calculating.hang)])
    if sys.argv[1] == "ends":
        sys.exit(0)
    while True:
        executor.wait(0.1)
"""


@pytest.mark.parametrize("ending", ["killed", "ends"])
def test_no_calculator_outlives_its_service_however_that_ends(tmp_path: Path, ending: str) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, program, ending], env=environment, stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        calculator = int(running.stdout.readline())
        if ending == "killed":
            assert alive(calculator)
            family = children(running.pid)
            running.send_signal(signal.SIGKILL)
            until(lambda: not any(map(alive, family)), "its children are gone")
        assert running.wait(20) == (-signal.SIGKILL if ending == "killed" else 0)
    until(lambda: not alive(calculator), "the calculator is gone")


def test_a_calculator_finishes_what_it_does_when_the_whole_group_is_told_to_stop(tmp_path: Path) -> None:
    executor, path = LoopExecutor(HandlerLimits(calculators=1)), tmp_path / "notes"
    work = Sum(calculating.note, str(path), 1, 0.5)
    place = Sum(calculating.where)
    run(executor, place)
    executor.handle([work])
    os.kill(place.result, signal.SIGTERM)
    os.kill(place.result, signal.SIGINT)
    until(lambda: work in executor.ended(), "it ends")
    assert work.result == 1
    assert path.read_text() == f"1 {place.result}\n"
    executor.close(5)
