"""Traces of messages in a worker: each attempt has a span, joined to what led to it; what follows is below it."""

from __future__ import annotations

import time

import pytest
from opentelemetry.trace import SpanKind, get_current_span

from antiphon import App, Context, Platform, PlatformOptions, SubmitOptions
from antiphon.broker import Record
from antiphon.envelope import Envelope
from antiphon.executors.event_loop import HandlerLimits
from antiphon.lifecycle import CommandHasFailed
from antiphon.llm import ChatMessage, Llm, Prompt
from antiphon.llms.scripted import ScriptedLlm
from antiphon.llms.traced import TracedLlm
from antiphon.tracing import Handling, NoTracing, Tracing
from tests.hosting.trade import Book, Booked, Trade, TradeWorld
from tests.processing.bundle_world import embedding_world
from tests.processing.bundle_world import send as send_texts
from tests.processing.counting_primes import CountPrimes
from tests.processing.counting_primes import app as primes
from tests.processing.embedding import Embedder
from tests.processing.messages import Calls, Count, Counted, counting
from tests.processing.threaded import Threaded
from tests.processing.world import World
from tests.spans import SPAN, TRACE, TRACEPARENT, Spans, carried, context, failed, ids, linked

PROCESS, SEND, REPLY = "process antiphon.commands.counting", "send antiphon.events.counting", "send antiphon.replies"
ASKED = {"ce_replyto": "antiphon.replies/0", "ce_replytoken": "token-1"}
COMMAND_ID = "0b0e6a1c-6e52-4d53-9d5c-0ba2a9c2f0aa"


def counting_world(spans: Spans, app: App | None = None) -> World:
    world = World(app or counting(), partitions=1)
    world.tracing = spans.tracing
    world.worker(app or next(iter(world.catalogue.apps.values())))
    world.serve()
    return world


def handled(world: World, number: int = 1) -> None:
    world.until(lambda: len(world.settled()) >= number, "the commands end")


def on(world: World, topic: str) -> list[Envelope]:
    return [Envelope(record) for record in world.read(topic)]


def test_an_attempt_is_linked_to_the_message_and_what_follows_is_below_it() -> None:
    spans = Spans()
    world = counting_world(spans)
    world.send(world.record(Count(name="a"), ce_id=COMMAND_ID, traceparent=TRACEPARENT, tracestate="vendor=7", **ASKED))
    handled(world)

    process, sent, reply = spans.one(PROCESS), spans.one(SEND), spans.one(REPLY)
    assert (process.parent, linked(process)) == (None, [(TRACE, SPAN)])
    assert context(process).trace_id != int(TRACE, 16)
    assert ids(sent.parent) == ids(reply.parent) == ids(context(process))
    [event], [answer] = on(world, world.names.events("counting")), on(world, world.names.replies)
    assert carried(event.raw("traceparent")) == ids(context(sent))
    assert carried(answer.raw("traceparent")) == ids(context(reply))
    assert (process.kind, sent.kind) == (SpanKind.CONSUMER, SpanKind.PRODUCER)


def test_the_attributes_are_those_of_the_messaging_conventions() -> None:
    spans = Spans()
    world = counting_world(spans)
    world.send(world.record(Count(name="a"), ce_id=COMMAND_ID, ce_correlationid="order 17"))
    handled(world)

    assert dict(spans.one(PROCESS).attributes or {}) == {
        "messaging.system": "kafka",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "antiphon.commands.counting",
        "messaging.destination.partition.id": "0",
        "messaging.consumer.group.name": "antiphon.counting",
        "messaging.kafka.offset": 0,
        "messaging.kafka.message.key": "a",
        "messaging.message.id": COMMAND_ID,
        "messaging.message.conversation_id": "order 17",
        "antiphon.handler": "counting.<locals>.count",
        "antiphon.attempt": 1,
    }
    [event] = on(world, world.names.events("counting"))
    assert dict(spans.one(SEND).attributes or {}) == {
        "messaging.system": "kafka",
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
        "messaging.destination.name": "antiphon.events.counting",
        "messaging.message.id": event.id,
        "messaging.message.conversation_id": "order 17",
    }
    told = spans.one(PROCESS).resource.attributes
    assert (told["service.name"], told["service.instance.id"]) == ("counting", "counting-0")


def test_parents_put_a_message_and_its_handling_into_one_trace() -> None:
    spans = Spans("parents")
    world = counting_world(spans)
    world.send(world.record(Count(name="a"), traceparent=TRACEPARENT, tracestate="vendor=7"))
    handled(world)

    process = spans.one(PROCESS)
    assert (ids(process.parent), linked(process)) == ((TRACE, SPAN), [])
    [event] = on(world, world.names.events("counting"))
    assert carried(event.raw("traceparent"))[0] == TRACE
    assert event.raw("tracestate") == b"vendor=7"


@pytest.mark.parametrize(
    "header",
    [
        b"\xff\xfe",
        b"",
        b"00",
        b"00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-01",
        b"ff-" + TRACEPARENT[3:].encode(),
        b"x" * 9999,
    ],
)
def test_a_trace_context_that_cannot_be_read_fails_no_message(header: bytes) -> None:
    spans = Spans()
    world = counting_world(spans)
    record = world.record(Count(name="a"))
    record.headers.extend([("traceparent", header), ("tracestate", b"\xff=,,=")])
    world.send(record)
    handled(world)
    assert [end.status for end in world.settled()] == ["completed"]
    assert linked(spans.one(PROCESS)) == []


def test_names_of_headers_are_read_in_any_case() -> None:
    spans = Spans()
    world = counting_world(spans)
    record = world.record(Count(name="a"))
    record.headers.append(("TraceParent", TRACEPARENT.encode()))
    world.send(record)
    handled(world)
    assert linked(spans.one(PROCESS)) == [(TRACE, SPAN)]


def test_every_attempt_has_a_span_linked_to_the_same_message() -> None:
    spans, calls = Spans(), Calls()
    calls.fail = [RuntimeError("the password is swordfish")]
    app = counting(calls)
    world = counting_world(spans, app)
    world.send(world.record(Count(name="a"), traceparent=TRACEPARENT))
    world.turn(200)
    handled(world)

    first, second = spans.named(PROCESS)
    assert linked(first) == linked(second) == [(TRACE, SPAN)]
    assert [span.attributes["antiphon.attempt"] for span in (first, second) if span.attributes] == [1, 2]
    assert (failed(first), failed(second)) == (True, False)
    assert first.attributes is not None
    assert first.attributes["error.type"] == "RuntimeError"
    assert "swordfish" not in first.to_json()


def test_what_is_told_of_a_failure_is_below_its_last_attempt() -> None:
    spans = Spans()
    world = counting_world(spans)
    world.send(world.record(Count(name="a", amount=-1), traceparent=TRACEPARENT))
    handled(world)
    told = [each for each in on(world, world.names.events("failures")) if each.type == CommandHasFailed.type_name()]
    sent = spans.one("send antiphon.events.failures")
    assert [carried(each.raw("traceparent")) for each in told] == [ids(context(sent))]
    assert ids(sent.parent) == ids(context(spans.one(PROCESS)))


def test_one_call_for_many_messages_is_linked_to_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    spans, embedder = Spans("parents"), Embedder()
    monkeypatch.setattr(World, "tracing", spans.tracing)
    world = embedding_world(embedder)
    send_texts(world, 4)
    handled(world, 4)
    process = spans.one("process antiphon.commands.embedding")
    assert (process.parent, process.attributes and process.attributes["messaging.batch.message_count"]) == (None, 4)
    assert {ids(span.parent) for span in spans.named("send antiphon.events.embedding")} == {ids(context(process))}


@pytest.mark.slow
def test_what_computes_in_another_process_is_traced_like_all_others(monkeypatch: pytest.MonkeyPatch) -> None:
    spans = Spans()
    monkeypatch.setattr(World, "tracing", spans.tracing)
    threaded = Threaded(primes, limits=HandlerLimits(calculators=1))
    world = threaded.world
    world.send(world.record(CountPrimes(name="a", below=20), traceparent=TRACEPARENT))
    threaded.settled(1)
    threaded.executor.close(5)
    process = spans.one("process antiphon.commands.primes")
    assert (linked(process), failed(process)) == ([(TRACE, SPAN)], False)
    assert {ids(span.parent) for span in spans.named("send antiphon.events.primes")} == {ids(context(process))}


def test_turns_of_a_workflow_are_linked_to_its_start_and_to_what_they_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spans = Spans()
    monkeypatch.setattr(TradeWorld, "tracing", spans.tracing)
    world = TradeWorld(Trade())
    record = world.record(Book(trip="to the sea"))
    asked = [("ce_replyto", b"antiphon.replies/0"), ("ce_replytoken", b"token")]
    record.headers.extend([*asked, ("traceparent", TRACEPARENT.encode())])
    world.send(record)
    world.until(lambda: bool(world.answers()), "an answer")
    assert world.answers() == [Booked(seat=1, paid=100)]

    turns = spans.named("turn Book")
    assert [turn.attributes and turn.attributes["antiphon.input"] for turn in turns] == ["start", "reply", "reply"]
    assert linked(turns[0]) == [(TRACE, SPAN)]
    replied = spans.named("send antiphon.commands.trips")
    assert [linked(turn) for turn in turns[1:]] == [[(TRACE, SPAN), ids(context(sent))] for sent in replied]
    [reserve], [charge] = spans.named("send antiphon.commands.seats"), spans.named("send antiphon.commands.payments")
    assert (ids(reserve.parent), ids(charge.parent)) == (ids(context(turns[0])), ids(context(turns[1])))
    answer = spans.one("send antiphon.replies")
    assert ids(answer.parent) == ids(context(turns[2]))
    assert linked(spans.one("process antiphon.commands.seats")) == [ids(context(reserve))]


@pytest.mark.promise("S3-46")
async def test_from_the_asker_to_the_last_answer_all_is_one_trace_with_parents() -> None:
    spans, trade = Spans("parents"), Trade()
    options = SubmitOptions(correlation_id="order 17", traceparent=TRACEPARENT)
    async with Platform(*trade.apps, options=PlatformOptions(tracing=spans.tracing)) as bus:
        assert await bus.execute(Book(trip="to the sea"), options=options) == Booked(seat=1, paid=100)
    named = {span.name: span for span in spans.ended}
    assert {ids(context(span))[0] for span in spans.ended} == {TRACE}
    assert {(span.attributes or {})["messaging.message.conversation_id"] for span in spans.ended} == {"order 17"}
    asked, seats, charged = (named[f"send antiphon.commands.{name}"] for name in ("trips", "seats", "payments"))
    assert len(spans.named("turn Book")) == 3
    assert ids(spans.named("send antiphon.commands.trips")[0].parent) == (TRACE, SPAN)
    assert asked is not spans.named("send antiphon.commands.trips")[0]  # answers come on the same topic
    for name, sent in (("seats", seats), ("payments", charged)):
        assert ids(named[f"process antiphon.commands.{name}"].parent) == ids(context(sent))


def test_what_a_handler_asks_of_a_model_is_below_its_attempt_and_says_tokens_but_no_words() -> None:
    spans = Spans()
    llm: Llm = TracedLlm(ScriptedLlm(), spans.tracing, model="gpt-9", provider="openai")
    app = App("counting")

    @app.command()
    async def count(command: Count, ctx: Context) -> Counted:
        assert get_current_span().is_recording()
        prompt = Prompt("be swift", (ChatMessage("user", "swordfish"),), temperature=0.5, max_tokens=900)
        return Counted(name=command.name, total=(await llm.complete(prompt)).usage.completion_tokens)

    world = counting_world(spans, app)
    world.send(world.record(Count(name="a")))
    handled(world)
    chat = spans.one("chat gpt-9")
    [event] = world.messages(world.names.events("counting"), Counted)
    assert dict(chat.attributes or {}) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-9",
        "gen_ai.output.type": "text",
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.max_tokens": 900,
        "gen_ai.response.model": "scripted",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": chat.attributes and chat.attributes["gen_ai.usage.input_tokens"],
        "gen_ai.usage.output_tokens": event.total,
    }
    assert (chat.kind, ids(chat.parent)) == (SpanKind.CLIENT, ids(context(spans.one(PROCESS))))
    assert "swordfish" not in chat.to_json()


def test_what_is_not_recorded_where_it_began_is_recorded_nowhere_behind_it() -> None:
    spans = Spans()
    world = counting_world(spans)
    world.send(world.record(Count(name="a"), traceparent=TRACEPARENT[:-2] + "00"))
    handled(world)
    assert spans.ended == []
    [event] = on(world, world.names.events("counting"))
    [flags] = (event.raw("traceparent") or b"").rsplit(b"-", 1)[1:]
    assert not int(flags, 16) & 1


def test_without_tracing_a_message_costs_less_than_a_microsecond_more_and_its_context_is_passed_on() -> None:
    world = World(counting(), partitions=1)
    world.worker(next(iter(world.catalogue.apps.values())))
    world.serve()
    world.send(world.record(Count(name="a"), traceparent=TRACEPARENT))
    handled(world)
    [event] = on(world, world.names.events("counting"))
    assert event.raw("traceparent") == TRACEPARENT.encode()
    assert cost(NoTracing()) < 1e-6


def cost(tracing: Tracing) -> float:
    """Seconds for all that one message asks of it: an attempt, an output and the answer; the best of some tries."""
    envelope = Envelope(Record("topic", 0, 0, b"key", b"", [], 0))
    origin, best = envelope.origin, 1.0
    for _ in range(20):
        begun = time.perf_counter()
        for _ in range(1000):
            if tracing.on:
                tracing.attempt([envelope], Handling("group", "handler", 1)).end()
            for _ in ("output", "answer"):
                if tracing.on:
                    tracing.sent(origin, "topic", "id")
        best = min(best, (time.perf_counter() - begun) / 1000)
    return best
