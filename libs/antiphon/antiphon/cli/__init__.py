"""The command line: `antiphon run`, `dev`, `send`, `status`, `commands`, `topics`, `schemas`, `config`, …

Exit codes: 0 all went well; 1 the command failed, or a check found something; 2 wrong usage or input; 3 the cluster,
the database or the gateway is out of reach.
"""

from antiphon.cli.main import main

__all__ = ["main"]
