"""What a gateway is made of."""

from __future__ import annotations

from dataclasses import dataclass, field

from antiphon.catalogue import Catalogue
from antiphon.client import Client
from antiphon.clock import Clock
from antiphon.codec import Codec
from antiphon.metrics import Metrics, NoMetrics
from antiphon.store import Store


@dataclass(frozen=True, slots=True)
class GatewayOptions:
    """Sizes in bytes, durations in seconds.

    `message_limit` is for the encoded message, `body_limit` for the HTTP request. `produce_timeout`: how long the
    cluster may take to store a command before the client is told to come again after `retry_after`. A command whose
    record was not seen `again_after` its submission is produced again; every `outbox_interval` it is looked for these.
    A long-poll lasts `wait_limit` at most and looks for changes every `watch_interval`. An answer to a
    declaration waits `shown_within` at most for the read side to show it. No command is taken for a service of which
    more than `max_backlog` are not settled (0: however many).
    """

    message_limit: int = 1_000_000
    body_limit: int = 2_000_000
    produce_timeout: float = 10.0
    retry_after: int = 5
    again_after: float = 60.0
    outbox_interval: float = 5.0
    wait_limit: float = 60.0
    watch_interval: float = 0.05
    shown_within: float = 2.0
    max_backlog: int = 0


@dataclass(frozen=True, slots=True)
class GatewayParts:
    """The gateway enters the client when it starts and closes it when it stops; the store is its maker's to close."""

    catalogue: Catalogue
    client: Client
    codec: Codec
    store: Store
    clock: Clock
    options: GatewayOptions = GatewayOptions()
    metrics: Metrics = field(default_factory=NoMetrics)
