"""Kafka's users and what each may do, for `secured.yml`: run once, as the administrator, when the topics are there.

A service reads what is meant for it and nothing else; it writes its own state, and commands, events and answers to
whoever they are for. The read side only reads. The gateway writes commands and declarations and reads no result.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialAlteration,
    UserScramCredentialUpsertion,
)

from antiphon import App
from antiphon.bootstrap import installation, topics_of
from antiphon.catalogue import Catalogue
from antiphon.cli.discovery import find_apps
from antiphon.processing.worker import slice_topics
from antiphon.settings import read_settings

TIMEOUT = 30.0  # seconds for one request
ITERATIONS = 8192
READ, WRITE, DESCRIBE = AclOperation.READ, AclOperation.WRITE, AclOperation.DESCRIBE
TOPIC, GROUP, TRANSACTION = ResourceType.TOPIC, ResourceType.GROUP, ResourceType.TRANSACTIONAL_ID
Right = tuple[ResourceType, str, ResourcePatternType, AclOperation]


def one(kind: ResourceType, names: Iterable[str], operation: AclOperation) -> Iterator[Right]:
    """This operation on things of exactly these names."""
    return ((kind, name, ResourcePatternType.LITERAL, operation) for name in names)


def all_of(kind: ResourceType, prefix: str, operation: AclOperation) -> Right:
    """This operation on everything whose name begins so."""
    return (kind, prefix, ResourcePatternType.PREFIXED, operation)


def looks_up(catalogue: Catalogue) -> Iterator[Right]:
    """What everybody does at start: see which topics there are, and how they are set."""
    prefix = catalogue.installation.names.prefix
    yield all_of(TOPIC, prefix, DESCRIBE)
    yield all_of(TOPIC, prefix, AclOperation.DESCRIBE_CONFIGS)


def of_service(app: App, catalogue: Catalogue) -> Iterator[Right]:
    """A service: its group, its transactions, its topics."""
    names, mine = catalogue.installation.names, slice_topics(app, catalogue.installation)
    sources = {*mine.sources, *([mine.state] if mine.state else []), names.cancels, names.control, names.schemas}
    yield from one(TOPIC, sources, READ)
    # workflows cancel what they have called
    read_only = {names.control} if app.workflows else {names.control, names.cancels}
    yield from one(TOPIC, topics_of(app, catalogue) - read_only, WRITE)
    yield all_of(TOPIC, f"{names.prefix}commands.", WRITE)
    yield all_of(TOPIC, f"{names.prefix}events.", WRITE)
    yield from one(GROUP, [names.group(app.service)], READ)
    yield all_of(TRANSACTION, f"{names.group(app.service)}/", WRITE)


def of_read_side(catalogue: Catalogue) -> Iterator[Right]:
    """The projector: everything that the log says, and nothing written."""
    names = catalogue.installation.names
    yield all_of(TOPIC, names.prefix, READ)
    yield from one(GROUP, [names.group("status")], READ)


def of_gateway(catalogue: Catalogue) -> Iterator[Right]:
    """The gateway: commands, requests to end them, declarations and signals; how far services have come."""
    names = catalogue.installation.names
    yield all_of(TOPIC, f"{names.prefix}commands.", WRITE)
    yield from one(TOPIC, [names.cancels, names.control, names.schemas], WRITE)
    yield from one(TOPIC, [names.control, names.schemas, names.replies], READ)
    yield all_of(GROUP, names.prefix, DESCRIBE)


def main() -> None:
    """Make the users of KAFKA_USERS (a JSON object of names and passwords) and give each what it may."""
    settings, passwords = read_settings(), json.loads(os.environ["KAFKA_USERS"])
    catalogue = Catalogue(find_apps([], Path.cwd()), installation(settings))
    rights = {
        **{app.service: of_service(app, catalogue) for app in catalogue.apps.values()},
        "status": of_read_side(catalogue),
        "gateway": of_gateway(catalogue),
    }
    admin = AdminClient({"bootstrap.servers": settings.bootstrap_servers, **settings.kafka})
    users: list[UserScramCredentialAlteration] = [
        UserScramCredentialUpsertion(
            user, ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, ITERATIONS), password.encode()
        )
        for user, password in passwords.items()
    ]
    for made in admin.alter_user_scram_credentials(users, request_timeout=TIMEOUT).values():
        made.result(TIMEOUT)
    for user in passwords:
        own = [*looks_up(catalogue), *rights[user]]
        acls = [
            AclBinding(kind, name, pattern, f"User:{user}", "*", operation, AclPermissionType.ALLOW)
            for kind, name, pattern, operation in own
        ]
        for given in admin.create_acls(acls, request_timeout=TIMEOUT).values():
            given.result(TIMEOUT)
        for kind, name, pattern, operation in own:
            print(f"{user} may {operation.name} {kind.name} {name}{'…' * (pattern == ResourcePatternType.PREFIXED)}")


if __name__ == "__main__":
    main()
