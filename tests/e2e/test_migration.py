"""A long command of a type that was declared at run time: ten seconds of steps on a real cluster, seen on the way."""

from __future__ import annotations

import itertools
import json
import threading
from pathlib import Path

import pytest

from tests.e2e.deployment import PROGRAMS, Deployment, ended, submit
from tests.model_server import Answered, Asked, ModelServer, said
from tests.waiting import until

STEPS = 10
DECLARATIONS = "services/processors/declarations"


def moving() -> ModelServer:
    """A model that takes a second for each tenth of the work."""
    steps = itertools.count(1)

    def answer(asked: Asked) -> Answered:
        threading.Event().wait(1.0)
        step = next(steps)
        if step < STEPS:
            return said(json.dumps({"done": False, "progress": step / STEPS, "note": f"part {step} is moved"}))
        return said(json.dumps({"done": True, "moved": 1000}))

    return ModelServer(answer)


@pytest.mark.timeout(150)
@pytest.mark.promise("S0-27", "S0-28", "S0-31", "S0-32")
def test_a_migration_of_ten_seconds_tells_how_far_it_is_and_ends_well(kafka: str, tmp_path: Path) -> None:
    with moving() as model, Deployment(kafka, tmp_path) as deployment:
        deployment.environment |= {"ANTIPHON_LLM_URL": model.url, "ANTIPHON_LLM_MODEL": "test-model"}
        deployment.apply_topics()
        deployment.start(*(name for name in PROGRAMS if name != "workshop"))
        applied = deployment.antiphon("control", "apply", DECLARATIONS, "--json")
        assert applied.code == 0, applied.err
        with deployment.http() as http:
            types = {each["command_type"] for each in http.get("/command-types").json()["command_types"]}
            assert {"process_document", "search_content", "send_campaign", "migrate_data"} <= types
            mover = {"name": "mover", "command_types": ["migrate_data"], "instructions": "Move it in ten parts."}
            http.post("/processors/create", json=mover).raise_for_status()
            accepted = submit(http, "migrate_data", {"source": "s3://old", "destination": "s3://new"})
            seen: set[float] = set()

            def far_enough() -> bool:
                progress = http.get(accepted.headers["location"]).json()["progress"]
                seen.update([progress["fraction"]] if progress else [])
                return max(seen, default=0.0) >= 0.8

            until(far_enough, "most of it is moved", 60)
            done = ended(http, accepted)
    assert len(seen) >= 4, f"it was seen on its way: {sorted(seen)}"
    assert (done["status"], done["progress"]) == ("completed", None)
    assert done["result"]["processor"] == "mover"
    assert done["result"]["response"]["result"] == {"done": True, "moved": 1000}
    assert "part 9 is moved" in " ".join(model.asked[-1].texts)
