"""A study's description for MLflow: what stands in it, how long it may be, and studies without a front."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from synthetic_study import make_reports, write_table

from analysis.load import load_study
from analysis.study_note import LONGEST, member_notes, opening_note, study_note

StudyMaker = Callable[..., Path]


def test_a_description_has_the_front_the_recommendation_and_searches_to_paste(make_study: StudyMaker) -> None:
    study = load_study(make_study())
    note, notes = study_note(study), member_notes(study)
    assert "20 COMPLETE, 1 FAIL. Reports: 80." in note
    assert note.count("★ |") == 1
    for row in study.front.itertuples():
        assert f"| `{row.trial_id}` | `{row.method}` | {row.step} | {row.sscd:.4g} ± 0.01 |" in note
    assert "Knee of the front: nearest to the ideal" in note
    assert "| fid: FID (digit features) | 16 ± 0.02 | 15.4 ± 0.02 | <= 19.2 (1.2 × untouched) |" in note
    assert "`tags.study = 'synthetic' and tags.pareto = 'true'`" in note
    assert "(get-artifact?path=front%2Ffront.png&run_uuid={run_id})" in note
    assert "#/experiments/{experiment_id}/runs/{run_id}/artifacts/front/report.html" in note
    assert set(notes) == set(study.front["trial_id"])
    assert sum("**recommended**" in text for text in notes.values()) == 1
    assert {text.count("\n|") for text in notes.values()} == {3}, "a head, a rule and one member"


def test_a_long_front_is_cut_short_and_keeps_the_recommended_member(make_study: StudyMaker) -> None:
    study = load_study(make_study())
    long = study.front.loc[study.front.index.repeat(200)].reset_index(drop=True)
    long["trial_id"] = [f"{place:05d}" for place in range(len(long))]
    long["checkpoint"] = [f"checkpoints/{row.trial_id}-{row.step}" for row in long.itertuples()]
    write_table(study.files.front, long)
    note = study_note(load_study(study.files.root))
    assert len(note) <= LONGEST
    assert "★ | `" in note
    assert " more in [front/front.csv]" in note
    assert note.endswith('again"\n```')


def test_a_study_without_a_feasible_report_says_what_is_nearest(make_study: StudyMaker) -> None:
    reports = make_reports(5)
    reports["fid"] += 100
    study = load_study(make_study(reports))
    assert study.front.empty
    note = study_note(study)
    assert "Members of the front: 0. No feasible report. The nearest is trial" in note
    assert "so none is recommended" in note
    assert member_notes(study) == {}


@pytest.mark.parametrize("changes", [{"finished": False}, {"finished": False, "constraints": ()}])
def test_a_study_that_runs_or_has_not_begun_has_a_description(
    make_study: StudyMaker, changes: dict[str, object]
) -> None:
    study = load_study(make_study(**changes))
    assert "Not measured anew yet" in study_note(study)
    assert "It runs." in opening_note(study.config, study.baseline)
    for path in (study.files.baseline, study.files.reports, study.files.trials):
        path.unlink()
    bare = load_study(study.files.root)
    assert "none started" in study_note(bare)
    assert "| sscd | – |" in opening_note(bare.config, bare.baseline)


def test_what_is_written_in_a_study_does_not_become_markup(make_study: StudyMaker) -> None:
    reports = make_reports(20)
    reports["method"] = "<script>alert(1)</script>"
    study = load_study(make_study(reports, workload="a.b:C"))
    text = study.files.baseline.read_text().replace("digit features", "<img src=x onerror=alert(1)>")
    study.files.baseline.write_text(text)
    study = load_study(study.files.root)
    for note in (study_note(study), opening_note(study.config, study.baseline), *member_notes(study).values()):
        assert "<img" not in note
        assert "<script>" not in note.replace("`<script>alert(1)</script>`", "")
