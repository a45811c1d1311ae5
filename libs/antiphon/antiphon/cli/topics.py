"""`antiphon topics`: the topics that the apps need, and those that there are."""

from __future__ import annotations

from contextlib import closing

import typer

from antiphon import bootstrap
from antiphon.cli.console import clearly, err, show
from antiphon.cli.options import Apps, AsJson, catalogue, quiet_settings

cli = typer.Typer(help="The topics of the installation.", no_args_is_help=True)


@cli.command()
@clearly
def apply(app: Apps = None, as_json: AsJson = False) -> None:
    """Make the declared topics that are missing; what exists is left as it is."""
    settings = quiet_settings()
    known = catalogue(app, settings)
    with closing(bootstrap.admin(settings)) as admin:
        before = admin.topics()
        missing = [plan for plan in known.plans() if plan.name not in before]
        if missing:
            admin.create_topics(missing)
        wrong = known.missing(dict(admin.topics()))
    made = {plan.name for plan in missing}
    rows = [
        {"topic": plan.name, "partitions": plan.partitions, "state": "made" if plan.name in made else "there"}
        for plan in known.plans()
    ]
    show(rows, ("topic", "partitions", "state"), as_json=as_json)
    for line in wrong:
        err.print(line, style="red", markup=False)
    raise SystemExit(1 if wrong else 0)


@cli.command("list")
@clearly
def list_(app: Apps = None, as_json: AsJson = False) -> None:
    """Every declared topic, and how the cluster has it."""
    settings = quiet_settings()
    known = catalogue(app, settings)
    with closing(bootstrap.admin(settings)) as admin:
        found = admin.topics()
    rows = [
        {
            "topic": plan.name,
            "declared": plan.partitions,
            "partitions": found[plan.name].partitions if plan.name in found else "missing",
            "settings": ", ".join(f"{name}={value}" for name, value in plan.settings.items()),
        }
        for plan in known.plans()
    ]
    show(rows, ("topic", "declared", "partitions", "settings"), as_json=as_json)
