"""A service whose handlers compute in processes of their own, for the tests; they stand at the top of their module."""

from __future__ import annotations

import os
import signal
import time

from antiphon import App, Command, CpuContext, Event, Permanent, Retry

app = App("primes")


class PrimesCounted(Event, family="primes", key="name"):
    name: str
    count: int
    attempt: int
    process: int


class Noticed(Event, family="primes", key="name"):
    name: str
    message_id: str
    drawn: float


class CountPrimes(Command[PrimesCounted], service="primes", key="name"):
    name: str
    below: int
    how: str = "well"


def primes(below: int) -> int:
    return sum(all(number % divisor for divisor in range(2, int(number**0.5) + 1)) for number in range(2, below))


@app.command(cpu=True, retry=Retry("1s"), timeout="2s")
def count_primes(command: CountPrimes, ctx: CpuContext) -> PrimesCounted:
    ctx.publish(Noticed(name=command.name, message_id=str(ctx.id), drawn=ctx.random().random()))
    if command.how == "refuses":
        raise Permanent(f"{command.name} has no primes")
    if command.how == "dies once" and ctx.attempt == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    while command.how == "hangs":
        time.monotonic()
    return PrimesCounted(name=command.name, count=primes(command.below), attempt=ctx.attempt, process=os.getpid())


@app.event(cpu=True, start="earliest")
def check(event: Noticed, ctx: CpuContext) -> None:
    if not event.drawn < 1:
        raise Permanent(f"{event.drawn} was drawn")
