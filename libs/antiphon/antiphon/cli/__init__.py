"""The command line: `antiphon run`, `dev`, `send`, `status`, `commands`, `topics`, `schemas`, `gateway`, `projector`.

Exit codes: 0 all went well; 1 the command failed; 2 wrong usage or input; 3 the cluster or the gateway is out of reach.
"""

from antiphon.cli.main import main

__all__ = ["main"]
