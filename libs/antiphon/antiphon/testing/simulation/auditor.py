"""The auditor: what must hold for every program, found in the log alone and in the memory of who serves a slice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from antiphon.app import App
from antiphon.broker import Record
from antiphon.envelope import Envelope
from antiphon.instances import HISTORY, INSTANCE, PARKED_INSTANCE, PENDING_INPUT
from antiphon.processing import ledger
from antiphon.processing.agenda import AGENDA, SCHEDULED
from antiphon.processing.effects import EFFECT
from antiphon.processing.ledger import Ledger
from antiphon.processing.offsets import SourceOffsets
from antiphon.processing.parking import PARKED, read_parked
from antiphon.processing.slice import Slice
from antiphon.processing.state import PROGRESS, read_progress
from antiphon.testing.simulation.program import Evidence, Violation


def audit_ends(evidence: Evidence) -> list[Violation]:
    """Every accepted command has ended exactly once, and nothing else has."""
    found = []
    commands: set[str] = set()
    refused: set[str] = set()  # of what lies among them and is none; its end is told like that of an unknown command
    for app in evidence.apps:
        for id_, copies in evidence.commands(app.service).items():
            if _is_no_command(app, copies[0]):
                if id_ in evidence.dead_letters:
                    refused.add(id_)
                continue
            commands.add(id_)
            ends = Counter(end.generation for end in evidence.settled.get(id_, []))
            if not ends:
                found.append(Violation(f"command {id_} has never ended", (id_,)))
            found += [
                Violation(f"command {id_} has ended {times} times", (id_,)) for times in ends.values() if times > 1
            ]
    return found + [
        Violation(f"{id_} has ended and never came", (id_,)) for id_ in evidence.settled.keys() - commands - refused
    ]


def audit_dead_letters(evidence: Evidence) -> list[Violation]:
    """A message is given up at most once by each handler in each generation."""
    return [
        Violation(f"{id_} was given up {times} times by {handler}", (id_,))
        for id_, letters in evidence.dead_letters.items()
        for handler, times in Counter((letter.service, letter.handler, letter.generation) for letter in letters).items()
        if times > 1
    ]


def audit_outputs(evidence: Evidence) -> list[Violation]:
    """What a service emits is in the log once, with an id of its own."""
    found = []
    topics = {topic for topic in _plans(evidence) if topic.startswith(evidence.names.events(""))}
    topics |= {topic for app in evidence.apps for topic in evidence.command_topics(app.service)}
    for topic in sorted(topics):
        emitted = Counter(Envelope(record).id for record in evidence.records(topic) if _emitted(record))
        found += [
            Violation(f"{id_} is {times} times on {topic}", (id_,)) for id_, times in emitted.items() if times > 1
        ]
    return found


def _plans(evidence: Evidence) -> Iterable[str]:
    families = {handler.message.family for app in evidence.apps for handler in app.events}
    return [evidence.names.events(family) for family in families] + [evidence.names.events("failures")]


def _emitted(record: Record) -> bool:
    envelope = Envelope(record)
    moved = envelope.forwarded or envelope.raw("ce_generation") is not None
    return (envelope.raw("ce_source") or b"").startswith(b"service/") and not moved


def audit_answers(evidence: Evidence) -> list[Violation]:
    """Whoever asked at a real address was answered, once for each token."""
    names = evidence.names
    answered = Counter(Envelope(record).raw("ce_replytoken") for record in evidence.records(names.replies))
    asked = set()
    for app in evidence.apps:
        for record in (copy for copies in evidence.commands(app.service).values() for copy in copies):
            envelope = Envelope(record)
            if (envelope.raw("ce_replyto") or b"").startswith(names.replies.encode() + b"/"):
                asked.add(envelope.raw("ce_replytoken"))
    return [
        Violation(f"token {token!r} was answered {answered[token]} times", ((token or b"").decode(),))
        for token in sorted({*asked, *answered}, key=str)
        if answered[token] != (1 if token in asked else 0)
    ]


def audit_progress(evidence: Evidence) -> list[Violation]:
    """No position of a command topic, as committed, is beyond what has been settled, forwarded or put to wait."""
    return [
        Violation(f"{record.topic}[{record.partition}]@{record.offset} counts as done; {id_} is not", (id_,))
        for app in evidence.apps
        for record in _counted_as_done(evidence, app)
        if (id_ := Envelope(record).id) not in evidence.settled
    ]


def _counted_as_done(evidence: Evidence, app: App) -> Iterable[Record]:
    """Commands at finished offsets that neither lie elsewhere now nor wait in the state."""
    moved = {
        Envelope(record).id for record in evidence.records(evidence.names.commands(app.service)) if _forwarded(record)
    }
    elsewhere = moved | evidence.waiting(app.service) | _instances(evidence, app.service)
    for topic in evidence.command_topics(app.service):
        progress = dict(_progress(evidence, app.service, topic))
        for record in evidence.records(topic):
            source = progress.get(record.partition)
            if source is None or not _finished(source, record.offset) or _is_no_command(app, record):
                continue
            if Envelope(record).id not in elsewhere:
                yield record


def _forwarded(record: Record) -> bool:
    return Envelope(record).forwarded


def is_at_rest(evidence: Evidence, service: str) -> bool:
    """Whether all that has come for a service is finished, and nothing waits for a time, or for its turn, or
    for an answer; what is parked waits for somebody."""
    state = evidence.state(service)
    if any(key.startswith((AGENDA, SCHEDULED)) for _, key in state):
        return False
    if any(key.startswith(PARKED) and read_parked(key, value).head is None for (_, key), value in state.items()):
        return False
    parked = {key.removeprefix(PARKED_INSTANCE) for _, key in state if key.startswith(PARKED_INSTANCE)}
    if any(key.startswith((HISTORY, PENDING_INPUT)) and key.split(b"/")[1] not in parked for _, key in state):
        return False
    for (number, key), value in state.items():
        if key == PROGRESS:
            for topic, source in read_progress(value)[0].items():
                if any(
                    not _finished(source, found.offset)
                    for found in evidence.records(topic)
                    if found.partition == number
                ):
                    return False
    return True


def _instances(evidence: Evidence, service: str) -> set[str]:
    """The instances of workflows that live in the state."""
    kinds = HISTORY, PENDING_INPUT, PARKED_INSTANCE
    return {key.split(b"/")[1].decode() for _, key in evidence.state(service) if key.startswith(kinds)}


def _is_no_command(app: App, record: Record) -> bool:
    """Whether it lies among the commands for another reason: an event that was forwarded or redriven, an answer to an
    instance of a workflow, or something else that it is told."""
    envelope = Envelope(record)
    if envelope.raw(INSTANCE) is not None:
        return True
    if envelope.raw("ce_replytoken") is not None and envelope.raw("ce_replyto") is None:
        return bool(app.workflows)
    stated = envelope.raw("ce_type")
    return any(handler.message.type_name().encode() == stated for handler in app.events)


def _progress(evidence: Evidence, service: str, topic: str) -> Iterable[tuple[int, SourceOffsets]]:
    for (number, key), value in evidence.state(service).items():
        if key == PROGRESS:
            sources, _ = read_progress(value)
            if topic in sources:
                yield number, sources[topic]


def _finished(source: SourceOffsets, offset: int) -> bool:
    return offset < source.contiguous or any(first <= offset <= last for first, last in source.ranges())


def audit_memory(evidence: Evidence, service: str, slice_: Slice) -> list[Violation]:
    """What the owner of a slice has in memory is what a restore would find."""
    where = f"slice {slice_.number} of {service}"
    stored = {key: value for (number, key), value in evidence.state(service).items() if number == slice_.number}
    remembered = Ledger()
    remembered.load([(key, value) for key, value in stored.items() if key.startswith(ledger.PREFIX)])
    progress = stored.pop(PROGRESS, None)
    entries = {key: value for key, value in stored.items() if not key.startswith(ledger.PREFIX)}
    found = [
        Violation(
            f"{where}: {key!r} is {slice_.entries.get(key)!r:.300} in memory, {entries.get(key)!r:.300} in the log"
        )
        for key in sorted({*entries, *slice_.entries})
        if entries.get(key) != slice_.entries.get(key)
    ]
    known = slice_.ledger  # the log may still have packs that have left the window
    if not (known._done <= remembered._done and known._dead.items() <= remembered._dead.items()):
        found.append(Violation(f"{where}: the ledger in memory knows more than the log"))
    if progress is None:
        return [*found, Violation(f"{where} is served and has no progress in the log")]
    for topic, kept in read_progress(progress)[0].items():
        live = slice_.sources.get(topic)
        for record in evidence.records(topic) if live is not None else ():
            if record.partition == slice_.number and live is not None:
                done = _finished(live, record.offset)
                if done != _finished(kept, record.offset):
                    found.append(
                        Violation(f"{where}: {topic}@{record.offset} is done in memory: {done}, not in the log")
                    )
    return found


def audit_effects(evidence: Evidence) -> list[Violation]:
    """What is kept of effects outside belongs to a dead letter that may still be redriven."""
    return [
        Violation(f"{key!r} is still there, and {id_} is settled", (id_,))
        for app in evidence.apps
        for _, key in evidence.state(app.service)
        if key.startswith(EFFECT) and not _may_be_redriven(evidence, id_ := key.split(b"/")[1].decode())
    ]


def _may_be_redriven(evidence: Evidence, id_: str) -> bool:
    done = any(end.status == "completed" for end in evidence.settled.get(id_, []))
    return id_ in evidence.dead_letters and not done


def audit_log(evidence: Evidence) -> list[Violation]:
    """Everything that must hold in the end."""
    found = audit_ends(evidence) + audit_dead_letters(evidence) + audit_outputs(evidence)
    return found + audit_answers(evidence) + audit_progress(evidence) + audit_effects(evidence)
