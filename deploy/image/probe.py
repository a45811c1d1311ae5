"""Asks the program of this container how it is, for HEALTHCHECK: exit code 0 if it answers `/livez` with 200.

Another path (`/readyz`) is its one argument. The standard library alone, and little of it: it runs every few seconds.
"""

from __future__ import annotations

import http.client
import os
import sys

DEFAULT_PORT = "9100"
PATIENCE = 4.0  # seconds


def main() -> int:
    """Print what the program says of itself."""
    path = sys.argv[1] if len(sys.argv) > 1 else "/livez"
    port = os.environ.get("ANTIPHON_METRICS_PORT") or DEFAULT_PORT
    connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=PATIENCE)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        print(answer.status, answer.read(1_000).decode(errors="replace").strip())
    except OSError as error:
        print(f"nothing answers on port {port}: {error}")
        return 1
    finally:
        connection.close()
    return 0 if answer.status == 200 else 1


if __name__ == "__main__":
    sys.exit(main())
