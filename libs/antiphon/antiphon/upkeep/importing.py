"""Importing an export into the state topic of a service that stands still.

A slice is closed by the first transaction and opened by the last one, which writes its progress too: a worker refuses
whatever lies between. All of them carry the offset that the export is right for, as a member of the service's group, so
that no worker can write in between, and group and progress agree afterwards.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field

from antiphon.broker import Outgoing, Partition
from antiphon.errors import ConfigurationError
from antiphon.processing.offsets import SourceOffsets
from antiphon.processing.state import CLOSED, IMPORTED, PROGRESS, read_progress, write_progress
from antiphon.upkeep.exporting import Subject, nobody
from antiphon.upkeep.exports import Export
from antiphon.upkeep.owner import Owner, OwnerOptions, refuse_while_used
from antiphon.upkeep.slices import SliceState

_ANSWER = 30.0  # seconds


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """`replace`: what the slices hold goes."""

    replace: bool = False
    owner: OwnerOptions = OwnerOptions()


@dataclass(slots=True)
class Imported:
    """What an import has done, and what that means for the log; all but the first three in offsets, by topic.

    `redone` lies behind the positions of the export and will be handled (again); `lost` was to be, and is no longer in
    the log; `unknown` positions lie beyond the log's end, so the log is another one.
    """

    slices: int = 0
    entries: int = 0
    skipped: int = 0  # slices that an earlier run of this import has finished
    redone: dict[str, int] = field(default_factory=dict)
    lost: dict[str, int] = field(default_factory=dict)
    unknown: dict[str, int] = field(default_factory=dict)


def import_state(
    subject: Subject, export: Export, options: ImportOptions = ImportOptions(), told: Callable[[int], None] = nobody
) -> Imported:
    """Let the slices hold what the export holds; an import that was interrupted is finished by running it again.

    `told` is told after each slice. ConfigurationError: the export is of another service, prefix or N; the service
    runs; its state is not empty and `replace` was not asked for. MembershipChanged: a worker was started meanwhile.
    """
    _check_fits(subject, export)
    subject.check_topics()
    refuse_while_used(subject.broker, subject.service, subject.group)
    digest = export.summary.digest
    before = _before(subject, digest, replace=options.replace)
    found = Imported()
    with Owner(subject.broker, subject.service, subject.installation, options.owner) as owner:
        for state in export.slices():
            if state.number in before:
                _write_slice(owner, state, before[state.number], {"export": digest, "at": export.head.exported_at})
                found.slices += 1
                found.entries += len(state.entries)
            else:
                found.skipped += 1
            _compare(subject, state, found)
            told(state.number)
    return found


def reset_state(subject: Subject, options: OwnerOptions = OwnerOptions()) -> Imported:
    """Let every slice that no worker would serve begin with nothing but positions: those that the group has, else the
    start of its log. What the slice held is gone, its ledger too. ConfigurationError while the service runs."""
    subject.check_topics()
    refuse_while_used(subject.broker, subject.service, subject.group)
    found = Imported()
    with Owner(subject.broker, subject.service, subject.installation, options) as owner:
        for number in range(subject.installation.partitions):
            before = subject.read(number)
            if PROGRESS in before.entries and CLOSED not in before.entries and not _is_short(subject, before):
                found.skipped += 1
                continue
            positions = _group_positions(subject, number)
            sources = {topic: SourceOffsets(offset) for topic, offset in positions.items()}
            progress = write_progress(sources, subject.installation.partitions)
            state = SliceState(number, {PROGRESS: progress}, 0)
            _write_slice(owner, state, before.entries, {"export": None, "at": None})
            found.slices += 1
            _compare(subject, state, found)
    return found


def accept_state(subject: Subject, options: OwnerOptions = OwnerOptions()) -> Imported:
    """Let every slice whose newest part was lost go on with what is left: its group goes back to where that ends, and
    what was settled since is handled again. Others stay as they are. ConfigurationError while the service runs."""
    subject.check_topics()
    refuse_while_used(subject.broker, subject.service, subject.group)
    found = Imported()
    with Owner(subject.broker, subject.service, subject.installation, options) as owner:
        for number in range(subject.installation.partitions):
            state = subject.read(number)
            if CLOSED in state.entries or PROGRESS not in state.entries or not _is_short(subject, state):
                found.skipped += 1
                continue
            progress = state.entries[PROGRESS]
            offset = read_progress(progress)[0][owner.commands].contiguous
            owner.write(number, offset, [Outgoing(owner.state, number, PROGRESS, progress, [])])
            found.slices += 1
            _compare(subject, state, found)
    return found


def _check_fits(subject: Subject, export: Export) -> None:
    names, wrong = subject.installation.names, []
    head = export.head
    for what, has, wanted in (
        ("service", head.service, subject.service),
        ("prefix", head.prefix, names.prefix),
        ("number of partitions", head.partitions, subject.installation.partitions),
    ):
        if has != wanted:
            wrong.append(f"the export is of {what} {has!r}, not {wanted!r}")
    if wrong:
        raise ConfigurationError(wrong)


def _before(subject: Subject, digest: str, *, replace: bool) -> dict[int, Mapping[bytes, bytes]]:
    """What each slice holds that is to be written; ConfigurationError if that is not ours to remove."""
    found: dict[int, Mapping[bytes, bytes]] = {}
    full = []
    for number in range(subject.installation.partitions):
        entries = subject.read(number).entries
        here = _digest_of(entries.get(CLOSED)) or _digest_of(entries.get(IMPORTED))
        if here == digest and CLOSED not in entries and not replace:
            continue  # finished by an earlier run
        if entries and here != digest and not replace:
            full.append(number)
        found[number] = entries
    if full:
        raise ConfigurationError(
            [
                f"slices {full} of {subject.state} are not empty: with --replace what they hold is given up. "
                "Export it first if it may be needed"
            ]
        )
    return found


def _digest_of(entry: bytes | None) -> str | None:
    """Of which export an entry tells."""
    if entry is None:
        return None
    told = json.loads(entry[entry.index(b"{") :]) if b"{" in entry else {}
    digest = told.get("export")
    return digest if isinstance(digest, str) else None


def _write_slice(owner: Owner, state: SliceState, before: Iterable[bytes], origin: Mapping[str, str | None]) -> None:
    """Close it, remove what is there, write what is to be there, open it."""
    entries = dict(state.entries)
    progress = entries.pop(PROGRESS)
    entries[IMPORTED] = told = json.dumps(origin).encode()
    sources, _ = read_progress(progress)
    at = sources[owner.commands].contiguous

    def record(key: bytes, value: bytes | None) -> Outgoing:
        return Outgoing(owner.state, state.number, key, value, [])

    closed = record(CLOSED, b"an import into it has not ended: run it again. " + told)
    gone = [record(key, None) for key in before if key not in (CLOSED, *entries)]
    owner.write(state.number, at, [closed])
    owner.write_all(state.number, at, gone)
    owner.write_all(state.number, at, [record(key, value) for key, value in entries.items()])
    owner.write(state.number, at, [record(CLOSED, None), record(PROGRESS, progress)])


def _compare(subject: Subject, state: SliceState, found: Imported) -> None:
    """Count what the log has behind the positions of this slice."""
    sources, _ = read_progress(state.entries[PROGRESS])
    with closing(subject.broker.admin()) as admin:
        there = admin.topics()
        read = [Partition(topic, state.number) for topic in sources if topic in there]
        starts, ends = (ask(read).result(_ANSWER) for ask in (admin.log_starts, admin.ends))
    for at in read:
        position = sources[at.topic].contiguous
        for counts, many in (
            (found.redone, ends[at] - max(position, starts[at])),
            (found.lost, starts[at] - position),
            (found.unknown, position - ends[at]),
        ):
            if many > 0:
                counts[at.topic] = counts.get(at.topic, 0) + many


def _group_positions(subject: Subject, number: int) -> dict[str, int]:
    """Where the group stands, by topic; of the command topic at least the log's start."""
    names = subject.installation.names
    own, families = names.commands(subject.service), names.events("")
    with closing(subject.broker.admin()) as admin:
        topics = [topic for topic in admin.topics() if topic == own or topic.startswith((f"{own}.", families))]
        read = [Partition(topic, number) for topic in topics]
        found = admin.committed(subject.group, read).result(_ANSWER)
        start = admin.log_starts([Partition(own, number)]).result(_ANSWER)[Partition(own, number)]
    return {own: start} | {at.topic: offset for at, offset in found.items() if offset is not None}


def _is_short(subject: Subject, state: SliceState) -> bool:
    """Whether the group is ahead of this state."""
    commands = subject.installation.names.commands(subject.service)
    sources, _ = read_progress(state.entries[PROGRESS])
    return commands in sources and sources[commands].contiguous < _group_positions(subject, state.number)[commands]
