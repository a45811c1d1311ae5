"""The contract of a broker as tests: every fact that the platform relies on, shown on a running broker."""

from __future__ import annotations

from antiphon.testing.contracts.broker_groups import GroupContract
from antiphon.testing.contracts.broker_harness import BrokerHarness
from antiphon.testing.contracts.broker_logs import LogContract
from antiphon.testing.contracts.broker_topics import TopicContract
from antiphon.testing.contracts.broker_transactions import FencingContract, TransactionContract

__all__ = ["BrokerContract", "BrokerHarness", "FencingContract", "GroupContract"]


class BrokerContract(LogContract, TopicContract, TransactionContract, GroupContract, FencingContract):
    """Give a subclass what `BrokerHarness` asks for, and pytest holds your broker to the contract."""
