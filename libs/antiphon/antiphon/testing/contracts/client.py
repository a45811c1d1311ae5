"""The contract of a client as tests: what programs outside of services rely on, shown on a running cluster."""

from __future__ import annotations

from antiphon.testing.contracts.client_harness import ClientHarness
from antiphon.testing.contracts.client_owners import OwnersContract
from antiphon.testing.contracts.client_requests import RequestContract
from antiphon.testing.contracts.client_submits import SubmitContract

__all__ = ["ClientContract", "ClientHarness"]


class ClientContract(SubmitContract, RequestContract, OwnersContract):
    """Give a subclass what `ClientHarness` asks for, and pytest holds your client to the contract."""
