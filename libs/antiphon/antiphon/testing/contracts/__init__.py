"""The public conformance suites: subclass one in a test module to hold an implementation to its contract."""

import pkgutil

import pytest

pytest.register_assert_rewrite(*(f"{__name__}.{module.name}" for module in pkgutil.iter_modules(__path__)))
