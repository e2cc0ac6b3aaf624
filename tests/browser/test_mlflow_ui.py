"""A study in MLflow's own UI: found, filtered, compared, with its picture, its description and its models."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from told_study import tell, write_told_study

from analysis.load import Study
from benchmarks.soak_lib.mlflow_server import MlflowServer
from tuning.tracking import EXPERIMENT

#: The UI loads megabytes of scripts, on a machine that may be busy.
PATIENCE_MS = 60_000


@dataclass(frozen=True)
class Served:
    """A study told to a store, and a server of the store."""

    study: Study
    url: str
    client: Any

    @property
    def experiment(self) -> str:
        """The experiment's page."""
        return f"{self.url}/#/experiments/{self.client.get_experiment_by_name(EXPERIMENT).experiment_id}"

    def run_of(self, query: str) -> Any:
        experiment = self.client.get_experiment_by_name(EXPERIMENT).experiment_id
        [run] = self.client.search_runs([experiment], query)
        return run


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    from mlflow.tracking import MlflowClient

    folder = tmp_path_factory.mktemp("mlflow")
    study = write_told_study(folder / "runs" / "eine Suche 図")
    store = f"sqlite:///{study.files.mlflow_database}"
    tell(study, store)
    server = MlflowServer(folder, store)
    server.start()
    try:
        yield Served(study, server.url, MlflowClient(store))
    finally:
        server.kill()


@pytest.fixture
def patient(page: Page) -> Page:
    page.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    return page


def test_the_front_is_found_and_compared(served: Served, patient: Page, screenshots: Path) -> None:
    front = served.study.front
    patient.goto(f"{served.experiment}/runs?workflowType=machine_learning")
    box = patient.get_by_placeholder("metrics.rmse")
    box.fill(f"tags.study = '{served.study.name}' and tags.pareto = 'true'")
    box.press("Enter")
    patient.get_by_text(f"{len(front) + 1} matching runs").wait_for()  # a study's run stands above its trials
    patient.get_by_role("row").filter(has_text=served.study.name).get_by_role("button").first.click()
    names = [f"{row.trial_id} {row.method}" for row in front.itertuples()]
    for name in names:
        patient.get_by_role("row").filter(has_text=name).get_by_role("checkbox").first.click()
    patient.screenshot(path=screenshots / "front.png")
    patient.get_by_role("button", name="Compare").first.click()
    expect(patient.get_by_role("heading", name=f"Comparing {len(front)} Runs")).to_be_visible()
    expect(patient.locator(".js-plotly-plot .parcoords").first).to_be_visible()
    for name in names:
        expect(patient.get_by_text(name).first).to_be_visible()
    patient.screenshot(path=screenshots / "parallel.png")
    patient.get_by_role("tab", name="Scatter Plot").click()
    for axis, metric in enumerate(("front_sscd", "front_nll")):
        patient.get_by_role("combobox").nth(axis).click()
        patient.get_by_role("option", name=metric, exact=True).click()
    # Points are drawn by the graphics card, of which a page tells nothing.
    drawn = "document.querySelector('.js-plotly-plot').data[0]"
    patient.wait_for_function(
        f"{drawn}.x.length == {len(front)} && {drawn}.x.every((x, i) => x < 1 && {drawn}.y[i] > 3)"
    )
    assert sorted(patient.evaluate(f"{drawn}.x")) == pytest.approx(sorted(front["sscd"]))
    assert sorted(patient.evaluate(f"{drawn}.y")) == pytest.approx(sorted(front["nll"]))
    patient.screenshot(path=screenshots / "scatter.png")


def test_a_study_s_run_has_a_description_with_its_front_and_the_picture(
    served: Served, patient: Page, screenshots: Path
) -> None:
    run = served.run_of("tags.kind = 'study'")
    patient.goto(f"{served.experiment}/runs/{run.info.run_id}?workflowType=machine_learning")
    patient.get_by_role("button", name="Show more").or_(patient.get_by_text("Show more")).first.click()
    for row in served.study.front.itertuples():
        shown = patient.get_by_role("row").filter(has_text=row.trial_id).filter(has_text=row.method)
        expect(shown.filter(has_text=f"{row.sscd:.4g} ± 0.01")).to_be_visible()
    picture = patient.get_by_role("img", name="The front")
    picture = picture.or_(patient.locator("img[src*='front.png']")).first
    picture.scroll_into_view_if_needed()
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 300
    patient.screenshot(path=screenshots / "description.png")
    link = patient.get_by_role("link", name="front/report.html")
    assert link.get_attribute("href").endswith(f"runs/{run.info.run_id}/artifacts/front/report.html")
    patient.goto(f"{served.experiment}/runs/{run.info.run_id}/artifacts/front/front.png")
    expect(patient.get_by_text("front/front.png").first).to_be_visible()
    for name in ("front.csv", "report.html", "study"):
        expect(patient.get_by_text(name, exact=True).first).to_be_visible()
    patient.wait_for_function("[...document.images].some(image => image.naturalWidth > 300)")
    patient.screenshot(path=screenshots / "picture.png")


def test_a_member_of_the_front_is_a_model_with_a_card(served: Served, patient: Page, screenshots: Path) -> None:
    trial = served.run_of("tags.recommended = 'true'")
    [output] = served.client.get_run(trial.info.run_id).outputs.model_outputs
    patient.goto(f"{served.experiment}/models/{output.model_id}?workflowType=machine_learning")
    expect(patient.get_by_text("recommended", exact=True).first).to_be_visible()
    expect(patient.get_by_text("What was forgotten")).to_be_visible()
    expect(patient.get_by_role("link", name=trial.info.run_name).first).to_be_visible()
    patient.screenshot(path=screenshots / "model.png")
    patient.get_by_role("tab", name="Artifacts").or_(patient.get_by_role("link", name="Artifacts")).first.click()
    patient.get_by_text("README.md").first.click()
    expect(patient.get_by_text("library_name").or_(patient.get_by_text("Nothing here certifies")).first).to_be_visible()
    patient.screenshot(path=screenshots / "card.png")
