"""The notebooks run from top to bottom, show what `analysis` computes, and are kept without what they showed."""

from __future__ import annotations

import ast
import json
import sys
import time
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "tests" / "analysis"))
from synthetic_study import CONSTRAINTS, OBJECTIVES, UNTOUCHED, make_reports, write_study  # noqa: E402

from analysis.bounds import bounds_figure  # noqa: E402
from analysis.compare import method_table  # noqa: E402
from analysis.compute import compute_figure, hypervolume_by_compute  # noqa: E402
from analysis.front import pareto_front  # noqa: E402
from analysis.front_table import recommendation  # noqa: E402
from analysis.importance import importance, importance_figure  # noqa: E402
from analysis.load import Study, load_study  # noqa: E402
from analysis.method_fronts import method_fronts, method_fronts_figure  # noqa: E402
from analysis.parallel import parallel_figure  # noqa: E402
from analysis.plots import front_figure, hypervolume_figure  # noqa: E402
from analysis.rungs import rung_table, stopping_figure  # noqa: E402
from analysis.stopping_cost import stopping_cost  # noqa: E402
from analysis.trajectories import trajectories, trajectories_figure  # noqa: E402
from tuning.config import Constraint  # noqa: E402
from tuning.tracking import EXPERIMENT, STUDY_FOLDER  # noqa: E402
from tuning.tracking.client import open_client  # noqa: E402
from tuning.tracking.telling import study_files  # noqa: E402

NOTEBOOKS = sorted((ROOT / "analysis" / "notebooks").glob("*.ipynb"))
PLOTLY, TABLE, TEXT = "application/vnd.plotly.v1+json", "text/html", "text/plain"
#: What tqdm, which Optuna imports, says where Jupyter itself is not installed.
NO_WIDGETS = "IProgress not found"
WHERE = 'WHERE = "runs"\n'
#: Seconds.
MINUTE = 60


class Table(HTMLParser):
    """The cells of a data frame as a notebook shows it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows, self._in_cell = list[list[str]](), False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "tr":
            self.rows.append([])
        if tag in ("th", "td"):
            self.rows[-1].append("")
            self._in_cell = True

    def handle_endtag(self, tag: str) -> None:
        self._in_cell = self._in_cell and tag not in ("th", "td")

    def handle_data(self, data: str) -> None:
        if self._in_cell:
            self.rows[-1][-1] += data

    def column(self, name: str) -> list[str]:
        place = self.rows[0].index(name)
        return [row[place] for row in self.rows[1:]]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """The newest of two; the other one has no reports."""
    storage = tmp_path_factory.mktemp("storage")
    write_study(storage / "younger", reports=make_reports(1).iloc[[]])
    write_study(storage / "newest", reports=make_reports(20, seed=5))
    events = (("younger", "2026-01-01"), ("newest", "2026-02-01"))
    for name, day in events:
        (storage / name / "events.jsonl").write_text(json.dumps({"time": f"{day}T00:00:00", "event": "stage"}) + "\n")
    return load_study(storage / "newest")


@pytest.fixture(scope="module")
def store(study: Study, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An MLflow store with the study's files, as a launch leaves them in the study's run."""
    folder = tmp_path_factory.mktemp("mlflow")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    client = open_client(uri)
    experiment = client.create_experiment(EXPERIMENT, artifact_location=(folder / "artifacts").as_uri())
    told = client.create_run(experiment, tags={"study": study.name}).info.run_id
    for path in study_files(study.files):
        client.log_artifact(told, str(path), STUDY_FOLDER)
    return uri


def run(name: str, study: Study, where: str | None = None) -> dict[str, dict[str, Any]]:
    """Source → what is shown below it, of every code cell but the first, which must not fail or say nothing.

    The kernel starts in the notebook's directory, as Jupyter does it. From its start to the last cell a notebook has
    a minute.

    Args:
        name: of the notebook.
        study: what it is to show.
        where: where it is to look; none: in the study's storage path.
    """
    path = ROOT / "analysis" / "notebooks" / f"{name}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    first, *others = (cell for cell in notebook.cells if cell.cell_type == "code")
    assert first.source.count(WHERE) == 1
    first.source = first.source.replace(WHERE, f"WHERE = {(where or str(study.files.root.parent))!r}\n")
    began = time.monotonic()
    NotebookClient(notebook, timeout=MINUTE, resources={"metadata": {"path": str(path.parent)}}).execute()
    assert time.monotonic() - began < MINUTE
    shown = {}
    for cell in (first, *others):
        results = [output for output in cell.outputs if output.output_type != "stream"]
        assert len(results) == 1, f"one result below {cell.source!r}, and {cell.outputs}"
        said = [
            output.text for output in cell.outputs if output.output_type == "stream" and NO_WIDGETS not in output.text
        ]
        assert not said, f"a warning or a print: {said}"
        shown[cell.source] = dict(results[0].data)
    assert f"newest: {len(study.reports)} reports" in shown.pop(first.source)[TEXT]
    return shown


def check_figures(shown: dict[str, dict[str, Any]], expected: dict[str, Any]) -> None:
    """What is drawn is what the function draws, and no figure is drawn besides."""
    assert {source for source, data in shown.items() if PLOTLY in data} == set(expected)
    for source, figure in expected.items():
        drawn = shown[source][PLOTLY]["data"]
        assert drawn, source
        assert drawn == json.loads(figure.to_json())["data"], source


def check_table(shown: dict[str, dict[str, Any]], source: str, columns: dict[str, Sequence[object]]) -> None:
    table = Table(shown[source][TABLE])
    for name, values in columns.items():
        assert table.column(name) == [str(value) for value in values], f"{name} of {source}"


def test_there_are_notebooks() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["compare_methods", "pareto_front", "stopping_step"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_they_are_kept_without_outputs_and_only_call_analysis(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not [cell for cell in code if cell.outputs or cell.execution_count is not None]
    trees = [ast.parse(cell.source) for cell in code]
    imported = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    assert {node.module.partition(".")[0] for node in imported if isinstance(node, ast.ImportFrom)} == {"analysis"}
    assert [alias.name for node in imported if isinstance(node, ast.Import) for alias in node.names] == ["sys"]
    for before, cell in zip(notebook.cells, notebook.cells[1:], strict=False):
        assert cell.cell_type != "code" or before.cell_type == "markdown", f"a sentence before {cell.source!r}"


def test_pareto_front(study: Study) -> None:
    shown = run("pareto_front", study)
    check_figures(
        shown,
        {
            "front_figure(study)": front_figure(study),
            "bounds_figure(study)": bounds_figure(study),
            "trajectories_figure(study)": trajectories_figure(study),
            "hypervolume_figure(study)": hypervolume_figure(study),
        },
    )
    front = pareto_front(study.reports, OBJECTIVES, CONSTRAINTS, UNTOUCHED)
    check_table(shown, "front_table(study)", {"trial_id": front["trial_id"], "step": front["step"]})
    assert shown["recommendation(study)"][TEXT] == repr(recommendation(study))
    stricter = pareto_front(study.reports, OBJECTIVES, [Constraint("fid", "<=", 1.1, True)], UNTOUCHED)
    assert stricter["trial_id"].tolist() != front["trial_id"].tolist()
    check_table(shown, "front_table(study, BOUNDS)", {"trial_id": stricter["trial_id"], "step": stricter["step"]})
    assert "fid <= 1.1x" in shown["recommendation(study, BOUNDS)"][TEXT]


def test_compare_methods(study: Study) -> None:
    shown = run("compare_methods", study)
    check_figures(
        shown,
        {
            "method_fronts_figure(study)": method_fronts_figure(study),
            "importance_figure(study)": importance_figure(study),
            "parallel_figure(study)": parallel_figure(study),
        },
    )
    methods = method_table([study])
    check_table(shown, "method_table([study])", {name: methods[name] for name in ("method", "feasible", "members")})
    [fronts] = (source for source in shown if source.startswith("method_fronts(study)["))
    check_table(shown, fronts, {"trial_id": method_fronts(study)["trial_id"]})
    explained = importance(study)
    check_table(shown, "importance(study)", {name: explained[name] for name in ("method", "metric", "parameter")})


@pytest.mark.parametrize("place", ["newest study", "MLflow"])
def test_stopping_step(study: Study, place: str, request: pytest.FixtureRequest) -> None:
    shown = run("stopping_step", study, request.getfixturevalue("store") if place == "MLflow" else None)
    check_figures(
        shown,
        {"stopping_figure(study)": stopping_figure(study), "compute_figure(study)": compute_figure(study)},
    )
    rungs, cost = rung_table(study), stopping_cost(study)
    check_table(shown, "rung_table(study)", {name: rungs[name] for name in ("step", "reports", "feasible")})
    check_table(shown, "stopping_cost(study)", {name: cost[name] for name in ("step", "optimiser_steps")})
    way = Table(shown["trajectories(study)"][TABLE])
    assert way.column("trial_id")[0] == trajectories(study)["trial_id"].iloc[0]
    compute = hypervolume_by_compute(study).tail()
    check_table(shown, "hypervolume_by_compute(study).tail()", {"trial_id": compute["trial_id"]})
