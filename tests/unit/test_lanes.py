"""Declaring lanes, where they lie, and in which order ready work is started."""

from __future__ import annotations

from collections import Counter

import pytest

from antiphon import App, Command, ConfigurationError, Context, Service
from antiphon.bootstrap import check_profile
from antiphon.brokers.profiles import PROFILES
from antiphon.catalogue import Catalogue, Installation
from antiphon.executor import RANKS, Work
from antiphon.executors.ready import ReadyQueue
from antiphon.messages import Priority
from antiphon.processing.lanes import rank
from antiphon.profile import Profile
from antiphon.topics import TopicNames

NAMES = TopicNames()
ANALYSIS = Service("analysis", lanes=("low", "critical"))


class Assess(Command, service=ANALYSIS, key="vehicle"):
    vehicle: str


class AssessTruck(Assess):
    load: float


class Forget(Command, service="analysis"):
    vehicle: str


def analysis(*kinds: type[Command]) -> App:
    app = App("analysis")
    for kind in kinds:

        def handle(command: Command, ctx: Context) -> None:
            return None

        handle.__annotations__["command"] = kind
        app.command()(handle)
    return app


def test_a_class_knows_the_lanes_of_its_service_and_a_sub_class_inherits_them() -> None:
    assert (Assess.service, Assess.lanes) == ("analysis", ("critical", "low"))
    assert (AssessTruck.service, AssessTruck.lanes) == ("analysis", ("critical", "low"))
    assert (Forget.service, Forget.lanes) == ("analysis", ())
    assert Assess.type_name() == "antiphon.analysis.Assess"


@pytest.mark.parametrize("lanes", [("normal",), ("urgent",), ("low", "low")])
def test_a_lane_that_cannot_be_is_refused_where_it_is_declared(lanes: tuple[str, ...]) -> None:
    with pytest.raises(ConfigurationError, match="declare each of critical, high, low once at most"):
        Service("analysis", lanes=lanes)  # type: ignore[arg-type]


def test_classes_of_one_service_that_disagree_about_its_lanes_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="Forget and Assess declare different lanes of 'analysis'"):
        analysis(Assess, Forget).check()
    analysis(Assess, AssessTruck).check()


@pytest.mark.promise("S3-41")
def test_only_declared_lanes_have_a_topic_and_every_other_priority_lies_on_the_service_s_own() -> None:
    assert NAMES.of_command(Assess, "critical") == "antiphon.commands.analysis.critical"
    assert NAMES.of_command(Assess, "low") == "antiphon.commands.analysis.low"
    assert {NAMES.of_command(Assess, other) for other in ("high", "normal")} == {NAMES.commands("analysis")}
    assert NAMES.of_command(Forget, "critical") == NAMES.commands("analysis")
    assert all(NAMES.is_command_topic(topic) for topic in NAMES.lanes("analysis", Assess.lanes))


def test_the_topics_of_lanes_are_declared_like_the_service_s_own() -> None:
    catalogue = Catalogue([analysis(Assess)], Installation(partitions=3))
    plans = {plan.name: (plan.partitions, plan.settings) for plan in catalogue.plans()}
    own = plans[NAMES.commands("analysis")]
    assert plans[NAMES.commands("analysis", "critical")] == plans[NAMES.commands("analysis", "low")] == own
    assert NAMES.commands("analysis", "high") not in plans
    assert f"topic {NAMES.commands('analysis', 'low')} does not exist" in "\n".join(catalogue.missing({}))


def test_a_cluster_without_lanes_refuses_a_service_that_declares_them() -> None:
    poor = Profile("poor", refusals={"lanes": "it has ten topics", "state": "nothing is compacted there"})
    with pytest.raises(ConfigurationError, match=r"analysis declares lanes, which .* poor .* it has ten"):
        check_profile(analysis(Assess), poor)
    check_profile(analysis(Forget), poor)
    for profile in PROFILES.values():
        check_profile(analysis(Assess), profile)


class Step(Work):
    """Work that does nothing."""

    __slots__ = ("rank",)

    asynchronous, timeout = True, 1.0

    def __init__(self, rank: int) -> None:
        self.rank = rank

    def start(self) -> None:
        return None

    def call(self) -> None:
        return None

    def succeed(self, result: object) -> None:
        return None

    def fail(self, error: BaseException) -> None:
        return None


def taken(queue: ReadyQueue[Step], amount: int) -> list[int]:
    return [queue.popleft().rank for _ in range(amount)]


def steps(amount: int, *priorities: Priority) -> list[Step]:
    return [Step(rank(priority)) for priority in priorities for _ in range(amount)]


@pytest.mark.promise("S3-41")
def test_of_what_is_ready_the_most_urgent_is_started_first_and_each_lane_has_its_share() -> None:
    queue: ReadyQueue[Step] = ReadyQueue()
    queue.extend(steps(1600, "low", "normal", "high", "critical"))
    started = Counter(taken(queue, 1600))
    expected = {"critical": 900, "high": 400, "normal": 200, "low": 100}
    assert started == {rank(priority): amount for priority, amount in expected.items()}  # type: ignore[arg-type]


@pytest.mark.promise("S3-41")
def test_what_comes_later_and_is_urgent_overtakes_what_waits() -> None:
    queue: ReadyQueue[Step] = ReadyQueue()
    queue.extend(steps(1000, "normal"))
    queue.extend(steps(3, "critical"))
    assert taken(queue, 5).count(rank("critical")) == 3


def test_what_overtakes_within_a_lane_leaves_the_others_of_it_every_second_start() -> None:
    queue: ReadyQueue[Step] = ReadyQueue()
    queue.extend([Step(rank("normal")) for _ in range(10)])
    queue.extend([Step(rank("normal") - 1) for _ in range(10)])
    first = taken(queue, 10)
    assert Counter(first) == {rank("normal"): 5, rank("normal") - 1: 5}
    assert len(taken(queue, 10)) == 10
    assert not queue


def test_within_a_rank_the_first_to_come_is_the_first_to_be_started_and_none_is_forgotten() -> None:
    queue: ReadyQueue[Step] = ReadyQueue()
    work = [Step(number % RANKS) for number in range(400)]
    found = []
    for number in range(0, 400, 10):
        queue.extend(work[number : number + 10])
        found += [queue.popleft() for _ in range(5)]
    found += [queue.popleft() for _ in range(len(queue))]
    assert not queue
    for each in range(RANKS):
        assert [one for one in found if one.rank == each] == [one for one in work if one.rank == each]
    with pytest.raises(IndexError):
        queue.popleft()


def test_what_was_taken_too_early_is_the_next_of_its_rank() -> None:
    queue: ReadyQueue[Step] = ReadyQueue()
    work = steps(4, "normal")
    queue.extend(work)
    first, second = queue.popleft(), queue.popleft()
    queue.put_back([second, first])
    assert [queue.popleft() for _ in range(4)] == work
