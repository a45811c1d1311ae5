"""The profiles: kinds of clusters that Antiphon runs on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from antiphon.profile import ClientSettings, Profile, Settings

MEMORY = Profile("memory")

_COOPERATIVE: Settings = {
    "group.protocol": "classic",
    "partition.assignment.strategy": "cooperative-sticky",
    "session.timeout.ms": 6_000,
    "heartbeat.interval.ms": 1_000,
}

_SETTINGS = ClientSettings(
    every={
        "topic.metadata.refresh.interval.ms": 60_000,
        "reconnect.backoff.max.ms": 1_000,
    },
    # a worker that has not polled for a minute is stuck: its slices go to another
    member={"group.protocol": "consumer", "max.poll.interval.ms": 60_000},
    # a moderate read-ahead; with the default back-off of a second, a reader that has filled it waits for the rest of
    # that second: 5,000 records a second in place of 190,000
    reader={"queued.min.messages": 2_000, "queued.max.messages.kbytes": 16_384, "fetch.queue.backoff.ms": 2},
    # a new topic may need a moment; a record for a missing one is refused after these five seconds
    plain_producer={"linger.ms": 2, "compression.type": "none", "topic.metadata.propagation.max.ms": 5_000},
    # the broker finishes the former transaction while the next one begins: with the default back-off of 100 ms every
    # transaction that carries offsets takes 105 ms, with this one 3.5 ms. A client that forgets brokers which are away
    # waits for ever for a group coordinator among them (librdkafka issue 5511): attaching offsets then never returns
    transactional_producer={
        "linger.ms": 0,
        "compression.type": "none",
        "transaction.timeout.ms": 10_000,
        "retry.backoff.ms": 1,
        "retry.backoff.max.ms": 10,
        "metadata.recovery.strategy": "none",
        "topic.metadata.propagation.max.ms": 5_000,
    },
)

KAFKA = Profile("kafka", settings=_SETTINGS)
"""Apache Kafka 4.x: groups are run by the broker, which sets sessions and heartbeats."""

KAFKA_CLASSIC = Profile("kafka-classic", settings=replace(_SETTINGS, member={**_SETTINGS.member, **_COOPERATIVE}))
"""Kafka and compatible brokers without the consumer protocol of KIP-848: classic groups, cooperative rebalances."""

PROFILES: Mapping[str, Profile] = {profile.name: profile for profile in (KAFKA, KAFKA_CLASSIC, MEMORY)}
