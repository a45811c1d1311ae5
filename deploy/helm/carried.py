"""What the chart carries of the rest of the repository: settings, catalogue, rules, dashboards."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from antiphon.catalogue import Catalogue
from antiphon.cli.chart_values import chart_values
from antiphon.cli.discovery import find_apps
from antiphon.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
NOTE = "# Written by `make chart`.\n"
ELSEWHERE = {
    "bootstrap_servers": "set kafka.bootstrapServers",
    "kafka": "set kafka.options, kafka.sasl and kafka.tls, or kafka.existingSecret",
    "kafka_password_file": "set kafka.sasl: the password's Secret is mounted and this points there",
    "database_url": "name the Secret that holds it in database.existingSecret",
    "host": "the chart sets it",
    "port": "the chart sets it; the Service's is gateway.service.port",
    "metrics_host": "the chart sets it",
    "metrics_port": "set metrics.port",
    "replica": "the chart sets it to the pod's name",
}


def settings_known() -> dict[str, Any]:
    """Settings by where the chart takes them: as values, elsewhere (and where), or from Secrets."""
    fields: dict[str, Any] = Settings.model_json_schema(by_alias=False)["properties"]
    secret = [name for name, schema in fields.items() if '"format": "password"' in json.dumps(schema)]
    elsewhere = ELSEWHERE | {name: f"name its Secret in secretSettings.{name}" for name in secret}
    named = [name for name in fields if name not in elsewhere]
    return {"settings": named, "elsewhere": elsewhere, "secret": sorted({*secret, "blobs_key"})}


def schema_of_settings() -> dict[str, Any]:
    """JSON Schema of the values `settings`; names are checked by the chart itself, which can say what to do."""
    fields: dict[str, Any] = Settings.model_json_schema(by_alias=False)["properties"]
    taken = ("type", "enum", "minimum", "maximum", "exclusiveMinimum", "anyOf", "description", "items")
    return {
        name: {key: fields[name][key] for key in taken if key in fields[name]} for name in settings_known()["settings"]
    }


def carried() -> Mapping[str, str]:
    """Path below the chart's `files` -> content."""
    catalogue = Catalogue(find_apps(["services"], ROOT))
    found = {
        "settings.yaml": NOTE + yaml.safe_dump(settings_known(), sort_keys=False),
        "catalogue.yaml": NOTE + chart_values(catalogue),
    }
    return found | dict(_copies())


def _copies() -> Iterator[tuple[str, str]]:
    rules = ROOT / "deploy" / "prometheus" / "rules.yml"
    if rules.exists():
        yield "rules.yml", rules.read_text("utf-8")
    for board in sorted((ROOT / "deploy" / "grafana" / "dashboards").glob("*.json")):
        yield f"dashboards/{board.name}", board.read_text("utf-8")
