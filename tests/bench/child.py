"""The measured process: `python -m tests.bench.child SYSTEM CASE MESSAGES BOOTSTRAP PREFIX`.

It answers each line on its standard input with the processor seconds it has used so far, and ends when that closes.
"""

from __future__ import annotations

import os
import sys
import threading
import time

from tests.bench.cases import CASES, Run
from tests.bench.systems import module_of
from tests.bench.systems.place import Place


def main() -> None:
    """Serve until the starter is done with us, or gone."""
    system, case, messages, bootstrap_servers, prefix = sys.argv[1:]
    threading.Thread(target=_tell, name="starter", daemon=True).start()
    module_of(system).serve(Run(CASES[case], system, int(messages)), Place(bootstrap_servers, prefix))


def _tell() -> None:
    for _ in sys.stdin:
        print(time.process_time(), flush=True)
    os._exit(0)  # nothing that this process still holds is needed; its topics are deleted


if __name__ == "__main__":
    main()
