"""A run's report as one HTML file that needs nothing else: no network, no folder beside it."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from vitas_hw.core.budget import show_cost
from vitas_hw.core.errors import InputError
from vitas_hw.core.files import write_atomic
from vitas_hw.core.progress import SILENT, Progress
from vitas_hw.report.architecture import draw
from vitas_hw.report.charts import blocks_chart, curve_chart, fit_chart, health_chart
from vitas_hw.report.collect import Report, collect
from vitas_hw.report.runs import command_of
from vitas_hw.report.search_charts import front_chart, progress_charts, published_chart
from vitas_hw.runs.directory import Run

_HERE = Path(__file__).parent
_VEGA_LITE = "6.4"  # the charts are written for it
_MOST_ROWS = 60  # of a chart's table


def report(run: Run, output: Path | None = None, *, progress: Progress = SILENT) -> tuple[Path, Report]:
    """Write what a run has, as one HTML file that needs no network; what it has not done is left out.

    Args:
        run: with a manifest.
        output: the file; None is ``report.html`` in the run.
        progress: where to report to.

    Returns: the file, and what is in it.

    Raises:
        InputError: there is no run, or ``output`` is a directory.
        FileError: a file of the run is broken.
        WriteError: the page cannot be written.
    """
    path = run.report if output is None else output
    if path.is_dir():
        hint = "Give a file, for example `output=report.html`."
        raise InputError(f"{path} is a directory.", hint, field="output", value=path, allowed="a file")
    found = collect(run, progress)
    write_atomic(path, render(found))
    return path, found


def render(report: Report) -> str:
    """The page as HTML. Everything in it that a user named is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    search, curves = report.search, report.curves.items()
    charts = {
        "front": [front_chart(search), *([published_chart(search)] if search.published else [])] if search else [],
        "fits": [fit_chart(fit, number) for number, fit in enumerate(report.fits, 1)],
        "progress": progress_charts(search) if search else [],
        "supernet": [
            *([health_chart(report.health)] if report.health else []),
            *([blocks_chart(report.block_shares)] if report.block_shares else []),
        ],
        "curves": [curve_chart(name, losses, number) for number, (name, losses) in enumerate(curves, 1)],
    }
    page = environment.get_template("page.html.jinja").render(
        report=report,
        charts=charts,
        specs={chart.name: chart.spec for group in charts.values() for chart in group},
        drawing=draw(report.subnet, report.space) if report.subnet else None,
        style=(_HERE / "page.css").read_text(encoding="utf-8"),
        library=_library() if any(charts.values()) else "",
        show_cost=show_cost,
        most_rows=_MOST_ROWS,
        command_of=command_of,
        commands=list(dict.fromkeys(filter(None, map(command_of, report.steps)))),
        settings_of=lambda step: json.dumps(_short(step["settings"]), indent=1, ensure_ascii=False),
    )
    # half a surrogate may stand in JSON and in the name of a file, but not in UTF-8
    return page.encode("utf-8", "replace").decode("utf-8")


@cache
def _library() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script."""
    import vl_convert

    return vl_convert.javascript_bundle(vl_version=_VEGA_LITE)  # type: ignore[call-arg]  # its stub forgets a default


def _short(settings: dict[str, Any]) -> dict[str, Any]:
    """Without the losses of each epoch, which are drawn."""
    return {
        key: _short(value) if isinstance(value, dict) else value for key, value in settings.items() if key != "history"
    }
