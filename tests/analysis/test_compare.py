"""Studies compared: tables against the studies' own numbers, figures, and the page in every state of studies."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from several_studies import better_reports, two_groups, without_values
from synthetic_study import (
    CONSTRAINTS,
    OBJECTIVES,
    RETRAINED,
    UNTOUCHED,
    make_repeated_reports,
    make_reports,
    write_study,
)
from test_report import Page

from analysis.common_scale import front_on
from analysis.comparable import labelled, scale_of, seed_groups
from analysis.compare import (
    comparison_path,
    fronts_figure,
    hypervolumes_by_compute_figure,
    hypervolumes_figure,
    method_table,
    settings_table,
    study_table,
    write_comparison,
)
from analysis.compute import hypervolume_by_compute
from analysis.front import hypervolume, pareto_front
from analysis.load import Study, StudyError, load_study
from analysis.scene import hypervolume_by_trial

pytestmark = pytest.mark.usefixtures("without_sync")


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return two_groups(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def studies(roots: list[Path]) -> list[Study]:
    return [load_study(root) for root in roots]


@pytest.fixture(scope="module")
def page(roots: list[Path]) -> Page:
    return Page(write_comparison(roots).read_text(encoding="utf-8"))


def loaded(*roots: Path) -> list[Study]:
    return [load_study(root) for root in roots]


class TestTables:
    def test_studies(self, studies: list[Study]) -> None:
        table = study_table(studies).set_index("study")
        assert list(table.index) == [study.name for study in studies]
        for study in studies:
            row, front = table.loc[study.name], study.front
            assert row["hypervolume"] == pytest.approx(hypervolume(front, OBJECTIVES, UNTOUCHED, RETRAINED))
            searched = pareto_front(study.reports, OBJECTIVES, CONSTRAINTS, UNTOUCHED)
            assert row["search_hypervolume"] == pytest.approx(hypervolume(searched, OBJECTIVES, UNTOUCHED, RETRAINED))
            trial, _, step = row["recommended"].partition("-")
            member = front[(front["trial_id"] == trial) & (front["step"] == int(step))]
            assert member["nll"].tolist() == [row["nll"]]
            assert (row["state"], row["members"], row["failed"]) == ("finished", len(front), 1)
            assert row["worker_seconds"] == 10 * 40

    def test_methods(self, studies: list[Study]) -> None:
        table = method_table(studies[:2])
        assert len(table) == 2 * 5
        assert table["study"].tolist() == ["tpe 1", "tpe 2"] * 5
        own = studies[0].reports[studies[0].reports["method"] == "siss"]
        feasible = own[own["feasible"]]
        row = table.iloc[0]
        assert (row["method"], row["trials"], row["reports"], row["feasible"]) == ("siss", 2, 8, len(feasible))
        assert (row["sscd"], row["nll"]) == (feasible["sscd"].min(), feasible["nll"].max())
        assert row["hypervolume"] == pytest.approx(hypervolume(feasible, OBJECTIVES, UNTOUCHED, RETRAINED))
        members = table[table["study"] == "tpe 1"].set_index("method")["members"].to_dict()
        assert members == {**dict.fromkeys(members, 0), **studies[0].front["method"].value_counts().to_dict()}
        neggrad = table[table["method"] == "neggrad"].iloc[0]
        assert neggrad["failed"] == 1
        assert neggrad["feasible"] == 0
        assert neggrad["hypervolume"] == 0.0
        assert np.isnan(neggrad["sscd"])

    def test_settings(self, studies: list[Study]) -> None:
        table = settings_table(studies)
        assert list(table.index) == ["searcher", "seed"]
        assert table.loc["searcher"].tolist() == ["tpe"] * 3 + ["ehvi"] * 3
        assert settings_table(studies[:1]).empty

    def test_settings_of_every_kind_are_text(self, tmp_path: Path) -> None:
        one = write_study(tmp_path / "one", fix={"lambd": 0.5}, allow_tf32=False, time_budget=60)
        url = "postgresql://reader:hidden@host/db"
        other = write_study(tmp_path / "other", constraints=["fid <= 1.1x", "nll >= 3"], optuna_storage=url)
        table = settings_table(loaded(one, other))
        assert table.loc["fix"].tolist() == ["lambd=0.5", "–"]
        assert table.loc["constraints"].tolist() == ["fid <= 1.2x", "fid <= 1.1x, nll >= 3"]
        assert table.loc["allow_tf32"].tolist() == ["false", "true"]
        assert table.loc["time_budget"].tolist() == ["60.0", "–"]
        assert "hidden" not in table.loc["optuna_storage"].tolist()[1]


class TestScale:
    def test_seeds_and_searchers_leave_values_comparable(self, studies: list[Study]) -> None:
        assert not scale_of(studies).in_gains
        assert seed_groups(studies) == {"tpe": ["tpe 1", "tpe 2", "tpe 3"], "ehvi": ["ehvi 1", "ehvi 2", "ehvi 3"]}

    def test_groups_without_a_common_name(self, studies: list[Study], tmp_path: Path) -> None:
        night, day = (load_study(write_study(tmp_path / name, seed=seed)) for name, seed in (("night", 1), ("day", 2)))
        assert seed_groups([night, day]) == {"night and 1 more": ["night", "day"]}
        again = load_study(write_study(tmp_path / "tpe 4", seed=4, methods=("siss",)))
        more = load_study(write_study(tmp_path / "tpe 5", seed=5, methods=("siss",)))
        assert list(seed_groups([*studies[:2], again, more])) == ["tpe 1 and 1 more", "tpe 4 and 1 more"]

    @pytest.mark.parametrize(
        "change", [{"model": "other"}, {"forget": ("cat.png",)}, {"num_images": 64}, {"injection_timestep": 250}]
    )
    def test_other_models_images_and_fidelities_are_compared_by_gains(
        self, studies: list[Study], tmp_path: Path, change: dict[str, object]
    ) -> None:
        other = load_study(write_study(tmp_path / "other", untouched={"sscd": 0.7}, **change))
        scale = scale_of([studies[0], other])
        assert scale.because == tuple(change)
        front = front_on(other, scale)
        member = other.front.sort_values("sscd").iloc[0]
        assert front["sscd_gain"].iloc[0] == pytest.approx((member["sscd"] - 0.7) / (RETRAINED["sscd"] - 0.7))
        assert front["sscd_gain_error"].iloc[0] == pytest.approx(member["sscd_stderr"] / (0.7 - RETRAINED["sscd"]))
        assert front["nll_gain"].iloc[0] == pytest.approx((member["nll"] - 3.3) / (4.4 - 3.3))

    def test_one_path_that_led_to_two_models(self, studies: list[Study], tmp_path: Path) -> None:
        close = load_study(write_study(tmp_path / "close", untouched={"nll": 3.3 + 0.1}))
        assert not scale_of([studies[0], close]).in_gains, "within five standard errors of 0.02 each"
        far = load_study(write_study(tmp_path / "far", untouched={"nll": 3.3 + 0.2}))
        assert scale_of([studies[0], far]).because == ("the untouched model's values",)

    def test_other_objectives_are_refused(self, studies: list[Study], tmp_path: Path) -> None:
        other = load_study(write_study(tmp_path / "other", objectives=["minimize sscd", "minimize fid"]))
        with pytest.raises(StudyError, match=r"must have the same objectives, but tpe 1 is to .* and other to .*fid;"):
            scale_of([studies[0], other])
        turned = load_study(write_study(tmp_path / "turned", objectives=["maximize nll", "minimize sscd"]))
        assert scale_of([studies[0], turned]).columns == ["sscd", "nll"]
        front = front_on(turned, scale_of([studies[0], turned]))
        assert front["sscd"].is_monotonic_increasing

    def test_names(self, studies: list[Study], tmp_path: Path) -> None:
        again = load_study(write_study(tmp_path / "elsewhere" / "tpe 1"))
        first = f"{studies[0].files.root.parent.name}/tpe 1"
        assert list(labelled([studies[0], again])) == [first, "elsewhere/tpe 1"]
        with pytest.raises(StudyError, match=r"given once, but .*tpe 1 was given 2 times; name it once"):
            labelled([studies[0], load_study(studies[0].files.root)])
        with pytest.raises(StudyError, match="got none"):
            labelled([])


class TestFigures:
    def test_fronts(self, studies: list[Study]) -> None:
        figure = fronts_figure(studies)
        drawn = {trace.name: trace for trace in figure.data if trace.text is not None}
        assert list(drawn) == [study.name for study in studies]
        assert len({trace.line.color for trace in drawn.values()}) == len(studies)
        for study in studies:
            trace = drawn[study.name]
            assert list(trace.x) == sorted(study.front["sscd"])
            assert set(trace.error_y.array) == {0.03}
            symbols = dict(zip(study.front.sort_values("sscd")["method"], trace.marker.symbol, strict=True))
            assert symbols == {method: {"siss": "circle", "siss_no_is": "square"}[method] for method in symbols}
        legend = {trace.name for trace in figure.data if trace.showlegend is not False}
        assert {"tpe 1", "siss", "siss_no_is", "untouched", "retrained"} <= legend
        assert figure.layout.xaxis.title.text == "SSCD (28×28 descriptor), lower is better"

    def test_hypervolumes(self, studies: list[Study], tmp_path: Path) -> None:
        unknown = load_study(write_study(tmp_path / "unknown", retrained=False))
        studies = studies[2:4]
        figure = hypervolumes_figure([*studies, unknown])
        for study, trace in zip(studies, figure.data, strict=False):
            assert list(trace.y) == list(hypervolume_by_trial(study)["hypervolume"])
            assert list(trace.x) == list(range(1, 11))
        assert figure.data[-1].name == "unknown (not known)"
        timed = hypervolumes_by_compute_figure([*studies, unknown])
        for study, trace in zip(studies, timed.data, strict=False):
            assert list(trace.y) == list(hypervolume_by_compute(study)["hypervolume"])
            assert trace.x[-1] == pytest.approx(10 * 40 / 3600)

    def test_more_studies_than_colours(self, tmp_path: Path) -> None:
        reports = make_reports(5)
        studies = loaded(*(write_study(tmp_path / f"s{number}", reports=reports) for number in range(8)))
        lines = [trace.line for trace in fronts_figure(studies).data if trace.text is not None]
        assert len({(line.color, line.dash) for line in lines}) == 8

    def test_repeated_settings_have_the_spread_of_their_runs(self, studies: list[Study], tmp_path: Path) -> None:
        repeated = load_study(write_study(tmp_path / "repeated", reports=make_repeated_reports(10, 3), repeats=3))
        front = front_on(repeated, scale_of([studies[0], repeated]))
        known = repeated.front.sort_values("sscd")
        expected = known["nll_spread"].where(known["num_repeats"] > 1, known["nll_stderr"])
        assert front["nll_error"].tolist() == expected.tolist()


class TestPage:
    def test_it_says_all_and_loads_nothing(self, page: Page, roots: list[Path]) -> None:
        assert page.loaded == []
        for part in ("Comparison of tpe 1, tpe 2", "Searched to minimize sscd, maximize nll", "Settings that differ"):
            assert part in page.text
        volumes = study_table(loaded(*roots))["hypervolume"]
        assert all(f"{volume:.3f}" in page.text for volume in volumes)
        assert "their hypervolumes overlap, so that another seed could turn them round" in page.text
        assert "do not compare" not in page.text

    def test_other_models(self, roots: list[Path], tmp_path: Path) -> None:
        other = write_study(tmp_path / "other", model="second", constraints=["fid <= 1.1x"], retrained_model="again")
        text = Page(write_comparison([roots[0], other], tmp_path / "page.html").read_text()).text
        assert "do not compare, since they differ in: model." in text
        assert "Bounds differ" in text
        assert "Run each again with another --seed" in text

    def test_ideals_from_elsewhere(self, roots: list[Path], tmp_path: Path) -> None:
        other = write_study(tmp_path / "other", retrained_model="again")
        text = Page(write_comparison([roots[0], other], tmp_path / "page.html").read_text()).text
        assert "shares of different boxes, values compare" in text

    @pytest.mark.parametrize("num_left", [0, 1, 2, 3])
    def test_unfinished_studies(self, tmp_path: Path, num_left: int) -> None:
        """`num_left` of the files of a study that runs are there already."""
        roots = [write_study(tmp_path / name, finished=False) for name in ("first", "second")]
        for name in ("reports.csv", "trials.csv", "baseline.json")[num_left:]:
            (roots[0] / name).unlink()
        text = Page(write_comparison(roots).read_text()).text
        assert "Not finished: first (interrupted), second (interrupted)" in text
        assert "No two finished studies" in text
        assert not re.search(r"\bnan\b", text.partition("Settings")[0])

    def test_no_ideal(self, roots: list[Path], tmp_path: Path) -> None:
        unknown = write_study(tmp_path / "unknown", retrained=False)
        text = Page(write_comparison([roots[0], unknown], tmp_path / "page.html").read_text()).text
        assert "is known of unknown: no hypervolume." in text
        both = [write_study(tmp_path / f"unknown {seed}", retrained=False, seed=seed, model="m") for seed in (1, 2)]
        text = Page(write_comparison([*both, roots[0]], tmp_path / "page.html").read_text()).text
        assert "is known of unknown 1, unknown 2: neither hypervolume nor gains" in text
        text = Page(write_comparison(both, tmp_path / "page.html").read_text()).text
        assert "hypervolumes are not known without an ideal" in text

    def test_nothing_measured_or_feasible(self, tmp_path: Path) -> None:
        nothing = write_study(tmp_path / "nothing", reports=without_values(make_reports(5)))
        broken = write_study(tmp_path / "broken", reports=make_reports(5).assign(fid=99.0), seed=4)
        text = Page(write_comparison([nothing, broken]).read_text()).text
        assert not re.search(r"\bnan\b", text)
        assert text.count("0.000") >= 2

    def test_one_objective(self, tmp_path: Path) -> None:
        roots = [write_study(tmp_path / f"one {seed}", seed=seed, objectives=["maximize nll"]) for seed in (1, 2)]
        assert "one (2 studies): hypervolume" in Page(write_comparison(roots).read_text()).text
        figure = fronts_figure(loaded(*roots))
        assert figure.layout.yaxis.title.text == "step"

    def test_names_are_text(self, tmp_path: Path) -> None:
        odd = write_study(tmp_path / "<img src=x onerror=alert(1)>", name="odd")
        other = write_study(tmp_path / "日本 Übung", seed=4)
        written = write_comparison([odd, other])
        html = written.read_text(encoding="utf-8")
        assert "<img" not in html.replace("<image", "")
        assert "日本 Übung" in Page(html).text
        assert written.parent == tmp_path
        assert re.fullmatch(r"comparison-[\w.+-]+\.html", written.name)

    def test_reports_are_linked(self, tmp_path: Path) -> None:
        roots = [write_study(tmp_path / "a b"), write_study(tmp_path / "c", seed=4)]
        (roots[0] / "report.html").write_text("")
        assert 'href="a%20b/report.html"' in write_comparison(roots).read_text()
        elsewhere = tmp_path / "pages" / "page.html"
        assert "report.html" not in Page(write_comparison(roots, elsewhere).read_text()).text

    def test_what_cannot_be_compared(self, roots: list[Path], tmp_path: Path) -> None:
        with pytest.raises(StudyError, match=r"at least two studies, but got 1; name another one"):
            write_comparison(roots[:1])
        with pytest.raises(StudyError, match="was given 2 times"):
            write_comparison([roots[0], roots[0]])
        with pytest.raises(StudyError, match=r"must have a study\.yaml"):
            write_comparison([roots[0], tmp_path / "nowhere"])
        other = write_study(tmp_path / "other")
        (other / "front.csv").write_text("trial_id,step,checkpoint\n00001,10,checkpoints/00001-10\n")
        with pytest.raises(StudyError, match="must have the columns"):
            write_comparison([roots[0], other])
        assert not list(tmp_path.glob("*.html"))


class TestPath:
    def test_plain_names_stay(self, tmp_path: Path) -> None:
        assert comparison_path(tmp_path, ["a-b", "日本"]).name == "comparison-a-b+日本.html"

    def test_others_are_made_safe_and_told_apart(self, tmp_path: Path) -> None:
        names = [
            ["a b", "c"],
            ["a_b", "c"],
            ["a/b", "c"],
            ["../a", "c"],
            ["é" * 90, "c"],
            ["é" * 90, "d"],
            ["a\nb", "c"],
        ]
        paths = [comparison_path(tmp_path, given) for given in names]
        assert len(set(paths)) == len(paths)
        for path in paths:
            assert path.parent == tmp_path
            assert re.fullmatch(r"comparison-[\w.+-]+\.html", path.name)
            assert len(path.name.encode()) <= 200


def test_a_better_search_is_better(tmp_path: Path) -> None:
    one, other = (
        write_study(tmp_path / "one", seed=1),
        write_study(tmp_path / "other", reports=better_reports(1), seed=1),
    )
    volumes = study_table(loaded(one, other))["hypervolume"]
    assert volumes[1] > volumes[0]
    assert isinstance(volumes, pd.Series)
