"""Attainment over seeds against counting by hand: surfaces, what they say of empty fronts, and differences in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations, pairwise, product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from several_studies import two_groups
from synthetic_study import RETRAINED, UNTOUCHED, make_reports, write_study

from analysis.attainment import attainment, attainment_figure, groups_of
from analysis.attainment_words import ahead_shares, chance_of_separation, in_words
from analysis.common_scale import front_hypervolume
from analysis.comparable import scale_of
from analysis.load import Study, load_study


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> list[Study]:
    return [load_study(root) for root in two_groups(tmp_path_factory.mktemp("runs"))]


def num_reaching(fronts: Sequence[pd.DataFrame], sscd: float, nll: float) -> int:
    return sum(bool(((front["sscd"] <= sscd) & (front["nll"] >= nll)).any()) for front in fronts)


class TestSurfaces:
    @pytest.mark.parametrize("quantile", [0.25, 0.34, 0.5, 0.75, 1.0])
    def test_a_point_is_beyond_the_surface_that_too_few_reach(self, studies: list[Study], quantile: float) -> None:
        table = attainment(studies, [quantile])
        for name, of in (("tpe", studies[:3]), ("ehvi", studies[3:])):
            fronts, surface = [study.front for study in of], table[table["group"] == name]
            needed = math.ceil(3 * quantile)
            every = pd.concat(fronts)
            reached = {(x, y) for x, y in product(every["sscd"], every["nll"]) if num_reaching(fronts, x, y) >= needed}
            best = {
                point
                for point in reached
                if not any(other != point and other[0] <= point[0] and other[1] >= point[1] for other in reached)
            }
            assert set(zip(surface["sscd"], surface["nll"], strict=True)) == best
            assert surface["sscd"].is_monotonic_increasing
            assert set(surface["studies"]) == {3}

    def test_of_one_study_every_surface_is_its_front(self, studies: list[Study]) -> None:
        table = attainment(studies[:1])
        for _, surface in table.groupby("quantile"):
            assert surface["nll"].tolist() == studies[0].front.sort_values("sscd")["nll"].tolist()
        assert set(table["group"]) == {"tpe 1"}

    def test_a_front_without_members_counts_as_a_run(self, studies: list[Study], tmp_path: Path) -> None:
        empty = load_study(write_study(tmp_path / "tpe 9", reports=make_reports(3).assign(fid=99.0), seed=9))
        assert empty.is_finished
        assert empty.front.empty
        of = [studies[0], empty]
        both, half = attainment(of, [1.0]), attainment(of, [0.5])
        assert both.empty
        assert half["sscd"].tolist() == sorted(studies[0].front["sscd"])
        assert set(half["studies"]) == {2}
        assert attainment([empty]).empty
        drawn = [trace.name for trace in attainment_figure(of).data]
        assert drawn == ["tpe, 2 seeds", "tpe, at least 25% of 2 seeds", "untouched", "retrained"]
        assert "from 0.000 to" in in_words(of)[0]

    def test_gains_of_other_models(self, studies: list[Study], tmp_path: Path) -> None:
        other = [
            load_study(write_study(tmp_path / f"other {seed}", seed=seed, model="other", untouched={"nll": 2.0}))
            for seed in (1, 2)
        ]
        table = attainment([*studies[:2], *other], [1.0])
        assert list(table.columns) == ["group", "studies", "quantile", "sscd_gain", "nll_gain"]
        plain = attainment(studies[:2], [1.0])
        gains = (plain["nll"] - UNTOUCHED["nll"]) / (RETRAINED["nll"] - UNTOUCHED["nll"])
        assert table[table["group"] == "tpe"]["nll_gain"].tolist() == pytest.approx(gains.tolist())
        figure = attainment_figure([*studies[:2], *other])
        assert "gain" in figure.layout.xaxis.title.text
        assert len(in_words([*studies[:2], *other])) == 3

    def test_unfinished_studies_and_those_without_gains_are_left_out(
        self, studies: list[Study], tmp_path: Path
    ) -> None:
        running = load_study(write_study(tmp_path / "tpe 7", seed=7, finished=False))
        assert [len(group.studies) for group in groups_of([*studies[:2], running])] == [2]
        unknown = load_study(write_study(tmp_path / "unknown", model="other", retrained=False))
        assert [group.name for group in groups_of([studies[0], unknown])] == ["tpe 1"]
        assert attainment([running]).empty
        assert in_words([running]) == []

    def test_one_objective(self, tmp_path: Path) -> None:
        studies = [
            load_study(write_study(tmp_path / f"one {seed}", seed=seed, objectives=["maximize nll"]))
            for seed in (1, 2, 3)
        ]
        best = sorted((study.front["nll"].max() for study in studies), reverse=True)
        assert attainment(studies)["nll"].tolist() == best
        [trace] = attainment_figure(studies).data
        assert (list(trace.x), list(trace.y)) == ([best[1]], ["one"])
        assert trace.error_x.array[0] == pytest.approx(best[0] - best[1])
        assert trace.error_x.arrayminus[0] == pytest.approx(best[1] - best[2])

    def test_three_objectives_are_seen_by_the_first_two(self, tmp_path: Path) -> None:
        objectives = ["minimize sscd", "maximize nll", "minimize fid"]
        studies = [load_study(write_study(tmp_path / f"s {n}", seed=n, objectives=objectives)) for n in (1, 2)]
        assert list(attainment(studies).columns) == ["group", "studies", "quantile", "sscd", "nll"]
        assert "get there" not in " ".join(in_words(studies))

    @pytest.mark.parametrize("quantile", [0.0, -1.0, 1.5, math.nan])
    def test_quantiles_that_are_none(self, studies: list[Study], quantile: float) -> None:
        with pytest.raises(ValueError, match=r"a quantile must be in \(0, 1\], but got"):
            attainment(studies, [quantile])


def naive_shares(one: Sequence[np.ndarray], other: Sequence[np.ndarray]) -> tuple[float, float, float]:
    """Shares of the unit box where either side is ahead, and the integral of the difference, cell by cell."""
    points = np.vstack([*one, *other])
    xs, ys = (np.unique(np.clip(np.append(points[:, k], [0.0, 1.0]), 0, 1)) for k in (0, 1))
    ahead = behind = integral = 0.0
    for (left, right), (low, high) in product(pairwise(xs), pairwise(ys)):
        x, y, area = (left + right) / 2, (low + high) / 2, (right - left) * (high - low)
        reach = [np.mean([bool(((f[:, 0] >= x) & (f[:, 1] >= y)).any()) for f in side]) for side in (one, other)]
        ahead += area * (reach[0] > reach[1] + 1e-12)
        behind += area * (reach[1] > reach[0] + 1e-12)
        integral += area * (reach[0] - reach[1])
    return ahead, behind, float(integral)


class TestWords:
    @pytest.mark.parametrize("sizes", [(3, 3), (3, 2), (1, 2)])
    def test_shares_of_the_box_are_those_counted_cell_by_cell(
        self, studies: list[Study], sizes: tuple[int, int]
    ) -> None:
        chosen = [*studies[: sizes[0]], *studies[3 : 3 + sizes[1]]]
        one, other = groups_of(chosen)

        def gains(of: Sequence[Study]) -> list[np.ndarray]:
            origin, ideal = ([model["sscd"], model["nll"]] for model in (UNTOUCHED, RETRAINED))
            return [(s.front[["sscd", "nll"]].to_numpy() - origin) / np.subtract(ideal, origin) for s in of]

        ahead, behind, integral = naive_shares(gains(one.studies), gains(other.studies))
        assert ahead_shares(one, other, scale_of(chosen)) == pytest.approx((ahead, behind))
        means = [np.mean([front_hypervolume(study) for study in group.studies]) for group in (one, other)]
        assert integral == pytest.approx(means[0] - means[1]), "the attainment function integrates to the mean"

    def test_groups_that_overlap(self, studies: list[Study]) -> None:
        own, others, both = in_words(studies)
        volumes = [front_hypervolume(study) for study in studies[:3]]
        assert own.startswith(
            f"tpe (3 studies): hypervolume {np.mean(volumes):.3f} in the mean, from {min(volumes):.3f}"
        )
        assert others.startswith("ehvi (3 studies)")
        assert "in 0% of the box" in both
        assert both.endswith("their hypervolumes overlap, so that another seed could turn them round.")

    def test_groups_that_do_not(self, studies: list[Study]) -> None:
        chosen = [studies[1], studies[2], studies[3]]  # tpe 2, tpe 3 and ehvi 1, the best of its kind
        for order in (chosen, chosen[::-1]):
            [verdict] = [text for text in in_words(order) if "every study of ehvi 1 has a larger hypervolume" in text]
            assert "apart, one way or the other, 67% of the time, and this was the only pair compared here." in verdict

    @pytest.mark.parametrize(("sizes", "chance"), [((2, 1), 2 / 3), ((2, 2), 1 / 3), ((3, 3), 1 / 10)])
    def test_how_often_luck_sets_groups_apart(self, sizes: tuple[int, int], chance: float) -> None:
        assert chance_of_separation(*sizes) == pytest.approx(chance)
        numbers = set(range(sum(sizes)))
        splits = [(set(one), numbers - set(one)) for one in combinations(sorted(numbers), sizes[0])]
        apart = [max(one) < min(other) or max(other) < min(one) for one, other in splits]
        assert np.mean(apart) == pytest.approx(chance)

    def test_all_pairs_that_had_the_chance_are_counted(self, studies: list[Study], tmp_path: Path) -> None:
        third = load_study(write_study(tmp_path / "random", seed=1, searcher="random"))
        texts = in_words([studies[1], studies[2], studies[3], third])
        assert any("it is one of 2 pairs compared here" in text for text in texts)

    def test_single_studies_say_nothing_of_luck(self, studies: list[Study]) -> None:
        assert in_words([studies[0], studies[3]]) == []

    def test_one_seed_twice_is_said(self, studies: list[Study], tmp_path: Path) -> None:
        again = load_study(write_study(tmp_path / "tpe again", seed=1))
        assert in_words([studies[0], again])[0].startswith("tpe (2 studies, 1 seeds)")


def test_the_figure(studies: list[Study]) -> None:
    figure = attainment_figure(studies)
    surfaces = {trace.name: trace for trace in figure.data if trace.mode == "lines"}
    assert [name for name, trace in surfaces.items() if trace.showlegend] == ["tpe, 3 seeds", "ehvi, 3 seeds"]
    assert len(surfaces) == 6
    table = attainment(studies)
    median = table[(table["group"] == "tpe") & (table["quantile"] == 0.5)]
    drawn = surfaces["tpe, 3 seeds"]
    assert list(drawn.x)[1:-1] == median["sscd"].tolist()
    assert (drawn.y[0], drawn.x[-1]) == pytest.approx((UNTOUCHED["nll"], UNTOUCHED["sscd"])), "on to the untouched one"
    assert len({trace.line.color for trace in surfaces.values()}) == 2
