"""A secret in a file, as clusters mount them: read again while the process runs, so that it can be changed."""

from __future__ import annotations

import logging
from pathlib import Path

from antiphon.errors import ConfigurationError
from antiphon.masking import conceal

log = logging.getLogger(__name__)


class SecretFile:
    """The first line of a file, without the line's end; whatever it ever held is masked in what this process says."""

    def __init__(self, path: Path) -> None:
        """Raises ConfigurationError if there is nothing to read now."""
        self._path = path
        self._reported = False
        try:
            self._value = self._read()
        except (OSError, ValueError) as error:
            raise ConfigurationError([f"the secret in {path} cannot be read: {_reason(error)}"]) from None

    def value(self) -> str:
        """What the file holds now; while it cannot be read (it is just being replaced), what it held last."""
        try:
            self._value, self._reported = self._read(), False
        except (OSError, ValueError) as error:
            if not self._reported:
                log.warning("the secret in %s cannot be read, the last one stays: %s", self._path, _reason(error))
            self._reported = True
        return self._value

    def _read(self) -> str:
        found = self._path.read_text().partition("\n")[0].rstrip("\r")
        if not found:
            raise ValueError("it is empty")
        conceal(found)
        return found


def _reason(error: Exception) -> str:
    """Without what the file holds, which errors of decoding quote."""
    return "it is no UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
