"""The operator: sends dead letters of `ordered` commands back to their owner, or has them discarded, until all are."""

from __future__ import annotations

import json
import random
import time
from dataclasses import dataclass

from antiphon.broker import Headers, Outgoing
from antiphon.lifecycle import DeadLetter
from tests.integration.cluster import Cluster
from tests.soak.apps import ReserveItem
from tests.soak.audit import SoakAuditor

AGAIN = 20.0  # seconds after which a dead letter that is still open is dealt with once more, in the same way


@dataclass(slots=True)
class _Case:
    """A dead letter, what is sent because of it, and when (monotonic seconds)."""

    record: Outgoing
    due: float


class Operator:
    """Acts in `step`. Most are redriven with a conduct that ends well, some as they are, and some are discarded."""

    def __init__(self, cluster: Cluster, auditor: SoakAuditor, seed: int) -> None:
        self._commands = cluster.names.commands("orders")
        self._codec = cluster.codec
        self._auditor, self._dice = auditor, random.Random(seed)
        self._producer = cluster.broker.producer()
        self._seen = 0
        self._cases: dict[tuple[str, int], _Case] = {}
        self.sent = 0

    def step(self) -> None:
        """Look at what has been given up since, and do what is due."""
        letters = self._auditor.dead_letters
        for letter in letters[self._seen :]:
            if letter.message_type == ReserveItem.type_name():
                due = time.monotonic() + self._dice.uniform(0, 3)
                self._cases[letter.message_id, letter.generation] = _Case(self._record(letter), due)
        self._seen = len(letters)
        for case in [key for key in self._cases if key in self._auditor.dead_letters_closed]:
            del self._cases[case]
        now = time.monotonic()
        for case_ in self._cases.values():
            if case_.due <= now:
                case_.due = now + AGAIN
                self._producer.send([case_.record] * self._dice.choice((1, 1, 2)))
                self.sent += 1

    def close(self) -> None:
        """Let go of the cluster."""
        self._producer.close()

    def _record(self, letter: DeadLetter) -> Outgoing:
        how, value = self._dice.random(), letter.record_value
        headers: Headers = [(header.name, header.value) for header in letter.record_headers]
        headers = [header for header in headers if header[0] not in ("ce_handler", "ce_generation")]
        headers += [("ce_handler", (letter.handler or "").encode()), ("ce_generation", b"%d" % (letter.generation + 1))]
        if how < 0.2:
            headers.append(("ce_discard", b"1"))
        elif how < 0.85:
            given_up = self._codec.decode(value, b"avro/binary", ReserveItem)
            headers = [
                *(header for header in headers if header[0] != "content-type"),
                ("content-type", b"application/json"),
            ]
            value = json.dumps({**given_up.model_dump(), "conduct": "quick"}).encode()
        return Outgoing(self._commands, letter.partition, letter.record_key, value, headers)
