"""The history of an instance as a Mermaid sequence diagram."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from antiphon.cli.mermaid import home_of, identifier, short_type, text

_ME, _ASKER, _OUTSIDE = "workflow", "asker", "outside"
Turn = Mapping[str, Any]


def sequence(about: Mapping[str, Any], turns: Sequence[Turn]) -> str:
    """What happened, turn by turn; `about` and `turns` are as the gateway tells them."""
    drawn = _Drawing(about)
    steps = [line for turn in turns for line in drawn.turn(turn)]
    steps += drawn.standing(about)
    return "\n".join(["sequenceDiagram", "    autonumber", *drawn.participants, *(f"    {line}" for line in steps)])


class _Drawing:
    """Who takes part, in the order of appearance, and what each number of a run stands for."""

    def __init__(self, about: Mapping[str, Any]) -> None:
        self._names: dict[str, str] = {
            _ASKER: "participant asker",
            _ME: f"participant {_ME} as {text(about['workflow'])}",
        }
        self._who: dict[tuple[int, int], str] = {}
        self._what: dict[tuple[int, int], str] = {}

    @property
    def participants(self) -> list[str]:
        return [f"    {line}" for line in self._names.values()]

    def turn(self, turn: Turn) -> Iterator[str]:
        yield from self._input(turn["run"], turn["input"])
        for decision in turn["decisions"]:
            yield from self._decision(turn["run"], decision)

    def standing(self, about: Mapping[str, Any]) -> Iterator[str]:
        if about["parked"]:
            yield f"Note over {_ME}: stands still, {text(about['parked']['why'])}"
        for wait in about["waits"]:
            yield f"Note over {_ME}: waits for {text(wait['kind'] + ' ' + short_type(wait['name']))}"

    def _input(self, run: int, told: Mapping[str, Any]) -> Iterator[str]:
        kind, place = told["kind"], (run, told["answers"] or 0)
        who, what = self._who.get(place, _OUTSIDE), text(self._what.get(place, ""))
        if kind == "start":
            yield f"{_ASKER}->>{_ME}: begin run {run}"
        elif kind == "signal":
            yield f"{self._participant(_OUTSIDE, 'outside')}-){_ME}: {text(short_type(told['name']))}"
        elif kind == "cancel":
            yield f"{self._participant(_OUTSIDE, 'outside')}-x{_ME}: cancel, {text(told['name'])}"
        elif kind == "timer":
            yield f"Note over {_ME}: the time of {what} is over"
        elif kind in ("reply", "failure"):
            arrow = "-->>" if kind == "reply" else "--x"
            yield f"{self._participant(who, who)}{arrow}{_ME}: {self._answer(kind, what, told)}"

    @staticmethod
    def _answer(kind: str, what: str, told: Mapping[str, Any]) -> str:
        failed = kind == "failure" and isinstance(told["payload"], dict)
        return f"{what} failed, {text(told['payload']['message'])}" if failed else what

    def _decision(self, run: int, decision: Mapping[str, Any]) -> Iterator[str]:
        kind, name, place = decision["kind"], decision["name"], (run, decision["number"])
        short = text(short_type(name))
        self._what[place] = short_type(name) or kind
        if kind in ("call", "send"):
            self._who[place] = who = self._service(home_of(name))
            yield f"{_ME}{'->>' if kind == 'call' else '-)'}{who}: {short}"
        elif kind == "publish":
            yield f"{_ME}-){self._participant(identifier('events', home_of(name)), f'events {home_of(name)}')}: {short}"
        elif kind == "step":
            self._who[place] = _ME
            yield f"{_ME}->>{_ME}: {text(name)}"
        elif kind == "approval":
            self._who[place] = who = self._person(name)
            self._what[place] = "decision"
            yield f"{_ME}->>{who}: is asked"
        elif kind in ("return", "fail", "continue"):
            yield f"{_ME}{'--x' if kind == 'fail' else '-->>'}{_ASKER}: {kind} {short}"
        elif kind != "record":
            said = name if kind == "status" else short_type(name)
            words = "a command is no longer wanted" if kind == "cancel" else text(f"{kind} {said}")
            yield f"Note over {_ME}: {words}"

    def _service(self, name: str) -> str:
        return self._participant(identifier("service", name), name)

    def _person(self, role: str) -> str:
        who = identifier("role", role)
        self._names.setdefault(who, f"actor {who} as {text(role or 'somebody')}")
        return who

    def _participant(self, who: str, shown: str) -> str:
        self._names.setdefault(who, f"participant {who} as {text(shown)}")
        return who
