"""Publish and subscribe: a fact is told once, and everybody who wants to hears it.

An event belongs to a family, which is a topic. Each service that has a handler for it is a subscription of its own: it
hears every event, at its own pace, whatever the others do, and its replicas share the hearing. The publisher knows none
of them. A new subscription begins with the events from now on, or, with `start="earliest"`, at the beginning of the
log: a service that is written next year can still hear what is told today. Order holds per key.

Here a station's readings reach an alarm and an average. Run it: python libs/antiphon/examples/publish_subscribe.py
"""

from __future__ import annotations

import asyncio
from queue import Queue
from tempfile import TemporaryDirectory

from antiphon import App, Command, Context, Event, State
from antiphon.embedded import Embedded
from antiphon.settings import read_settings

READINGS = [18.0, 21.0, 36.0, 25.0]


class TemperatureRead(Event, family="weather", key="place"):
    """The fact; it is also the answer to whoever asked for the reading."""

    place: str
    celsius: float


class ReadTemperature(Command[TemperatureRead], service="station", key="place"):
    place: str
    celsius: float


class Readings(State):
    """Kept for each place by the service that averages."""

    count: int = 0
    total: float = 0


def services(heard: Queue[str]) -> list[App]:
    """One publisher and two subscribers, which write what they hear to `heard`."""
    station, alarm, average = map(App, ("station", "alarm", "average"))

    @station.command()
    def read_temperature(command: ReadTemperature, ctx: Context) -> TemperatureRead:
        return TemperatureRead(place=command.place, celsius=command.celsius)

    @alarm.event(start="earliest")
    def warn(event: TemperatureRead, ctx: Context) -> None:
        heard.put(f"alarm    {event.celsius:g} °C in {event.place} is {'hot!' if event.celsius > 30 else 'fine'}")

    @average.event(start="earliest")
    def add(event: TemperatureRead, ctx: Context) -> None:
        readings = ctx.state(Readings)
        readings.count += 1
        readings.total += event.celsius
        heard.put(f"average  {readings.total / readings.count:g} °C after {readings.count} in {event.place}")

    return [station, alarm, average]


async def publish(platform: Embedded) -> None:
    async with platform.client() as client:
        for celsius in READINGS:
            read = await client.request(ReadTemperature(place="Berne", celsius=celsius), timeout="20s")
            print(f"published {read.celsius:g} °C")


def main() -> None:
    heard: Queue[str] = Queue()
    with TemporaryDirectory() as folder:
        settings = read_settings(database_url=f"sqlite:///{folder}/status.sqlite3", partitions=4)
        with Embedded(services(heard), settings) as platform:
            asyncio.run(publish(platform))
            # each subscriber hears in order; a sort by the first word leaves that as it is
            for line in sorted((heard.get(timeout=20) for _ in range(2 * len(READINGS))), key=lambda told: told[:7]):
                print(line)


if __name__ == "__main__":
    main()
