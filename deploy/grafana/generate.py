"""Writes `dashboards/*.json` from `boards.py`: python -m deploy.grafana.generate."""

from __future__ import annotations

from itertools import count
from pathlib import Path

from grafana_foundation_sdk.builders.common import VizLegendOptions, VizTooltipOptions
from grafana_foundation_sdk.builders.dashboard import Dashboard, DatasourceVariable, QueryVariable, Row
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.builders.timeseries import Panel as TimeSeries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import LegendDisplayMode, LegendPlacement, TooltipDisplayMode
from grafana_foundation_sdk.models.dashboard import DataSourceRef, VariableOption, VariableRefresh

from deploy.grafana.boards import BOARDS, Board, Panel

HERE = Path(__file__).parent / "dashboards"
SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
WIDTH, HEIGHT = 12, 8  # of the 24 columns of a dashboard; in its rows


def written(board: Board) -> str:
    """The dashboard as Grafana's JSON."""
    dashboard = (
        Dashboard(board.title)
        .uid(f"antiphon-{board.name}")
        .tags(["antiphon"])
        .editable()
        .refresh("30s")
        .time("now-1h", "now")
        .with_variable(DatasourceVariable("datasource").label("Data source").type("prometheus"))
        .with_variable(
            QueryVariable("job")
            .label("Service")
            .datasource(SOURCE)
            .query("label_values(antiphon_build_info, job)")
            .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
            .multi(True)
            .include_all(True)
            .all_value(".*")
            .current(VariableOption(text="All", value="$__all"))
        )
    )
    ids = count(1)
    for title, panels in board.rows:
        dashboard = dashboard.with_row(Row(title).id(next(ids)))
        for panel in panels:
            dashboard = dashboard.with_panel(_drawn(panel).id(next(ids)))
    return JSONEncoder(sort_keys=True, indent=2).encode(dashboard.build()) + "\n"


def _drawn(panel: Panel) -> TimeSeries:
    drawn = TimeSeries().title(panel.title).description(panel.about).datasource(SOURCE).unit(panel.unit).min(0)
    drawn = drawn.span(WIDTH).height(HEIGHT).fill_opacity(10)
    legend = VizLegendOptions().display_mode(LegendDisplayMode.LIST).placement(LegendPlacement.BOTTOM).show_legend(True)
    drawn = drawn.legend(legend).tooltip(VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
    for number, (query, name) in enumerate(panel.queries):
        drawn = drawn.with_target(Dataquery().expr(query).legend_format(name).ref_id(chr(ord("A") + number)))
    return drawn


def main() -> None:
    """Write all of them."""
    for board in BOARDS:
        (HERE / f"{board.name}.json").write_text(written(board))


if __name__ == "__main__":
    main()
