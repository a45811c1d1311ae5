"""`antiphon topics`: the topics that the apps need, and those that there are."""

from __future__ import annotations

from contextlib import closing
from enum import StrEnum
from typing import Annotated

import typer

from antiphon import bootstrap
from antiphon.cli.console import clearly, err, exit_codes, out, show, waiting
from antiphon.cli.options import Apps, AsJson, catalogue, quiet_settings
from antiphon.settings import read_settings

cli = typer.Typer(help="The topics of the installation.", no_args_is_help=True, epilog=exit_codes())


class Format(StrEnum):
    """What `export` writes."""

    STRIMZI = "strimzi"
    KAFKA_TOPICS = "kafka-topics"
    HELM = "helm"


@cli.command(epilog=exit_codes("a topic that exists has other partitions"))
@clearly
def apply(app: Apps = None, as_json: AsJson = False) -> None:
    """Make the declared topics that are missing; what exists is left as it is."""
    settings = quiet_settings()
    known = catalogue(app, settings)
    with waiting("making topics"), closing(bootstrap.admin(settings)) as admin:
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


@cli.command(epilog=exit_codes("something is missing or differs"))
@clearly
def plan(app: Apps = None, as_json: AsJson = False) -> None:
    """What `apply` would make, and in what the topics that exist differ from what is declared; changes nothing."""
    from antiphon.cli.topic_plan import steps

    settings = quiet_settings()
    known = catalogue(app, settings)
    with waiting("asking the cluster"), closing(bootstrap.admin(settings)) as admin:
        found = steps(known.plans(), admin.topics())
    rows = [step.row() for step in found]
    open_ = [step for step in found if step.action != "none"]
    if not as_json:
        rows = [{**row, "differences": "; ".join(step.differences)} for row, step in zip(rows, found, strict=True)]
    show(rows, ("topic", "action", "partitions", "differences"), as_json=as_json)
    if not as_json and not open_:
        out.print("nothing to do")
    raise SystemExit(1 if open_ else 0)


@cli.command(epilog=exit_codes())
@clearly
def export(
    app: Apps = None,
    format_: Annotated[
        Format, typer.Option("--format", help="Strimzi resources, lines of Kafka's own tool, or values of the chart")
    ] = (Format.STRIMZI),
    cluster: Annotated[str, typer.Option(help="Strimzi's name of the Kafka cluster")] = "kafka",
    replicas: Annotated[int | None, typer.Option(min=1, max=32_767, help="else the cluster's default")] = None,
    as_json: AsJson = False,
) -> None:
    """Print the declared topics for another tool to make; no cluster is asked. With --json, as `plan` has them."""
    from antiphon.cli.chart_values import chart_values
    from antiphon.cli.topic_export import kafka_topics, strimzi

    settings = read_settings()
    known = catalogue(app, settings)
    plans = known.plans()
    if as_json:
        rows = [{"topic": each.name, "partitions": each.partitions, "settings": dict(each.settings)} for each in plans]
        show(rows, (), as_json=True)
    elif format_ is Format.STRIMZI:
        print(strimzi(plans, cluster, replicas), end="")
    elif format_ is Format.HELM:
        print(chart_values(known), end="")
    else:
        print(kafka_topics(plans, settings.bootstrap_servers, replicas), end="")


@cli.command(epilog=exit_codes("a worker was started meanwhile, or the cluster refused it: run it again"))
@clearly
def migrate(
    partitions: Annotated[int, typer.Option(min=2, help="so many from now on: a multiple of what there is")],
    to_prefix: Annotated[str, typer.Option(help="what the new topics begin with: antiphon-24.")],
    app: Apps = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="only say what is in the way, and what is to be moved")
    ] = False,
    finish: Annotated[bool, typer.Option("--finish", help="remove the old topics")] = False,
    abandon: Annotated[bool, typer.Option("--abandon", help="go back, before any service has run there")] = False,
    as_json: AsJson = False,
) -> None:
    """Move all services, which stand still, to topics with more partitions; when it was interrupted, run it again."""
    from antiphon.cli.migrating import Verb, migrate_topics

    if finish + abandon + dry_run > 1:
        raise typer.BadParameter("give one of --dry-run, --finish and --abandon")
    settings = quiet_settings()
    verb: Verb = "finish" if finish else "abandon" if abandon else "check" if dry_run else "run"
    migrate_topics(catalogue(app, settings), settings, (to_prefix, partitions), verb, as_json=as_json)


@cli.command("list", epilog=exit_codes())
@clearly
def list_(app: Apps = None, as_json: AsJson = False) -> None:
    """Every declared topic, and how the cluster has it."""
    settings = quiet_settings()
    known = catalogue(app, settings)
    with waiting("asking the cluster"), closing(bootstrap.admin(settings)) as admin:
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
