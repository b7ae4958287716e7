"""The gate's benchmark: its pool, its figures, and going on from kept rows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.gate import fitted
from agent.model.base import GenerateRequest
from agent.model.fake import FakeModel
from agent.vetoes import vetoes
from benchmarks.contradictions import read_pairs, stream_pairs
from benchmarks.gate import average_precision, fit_gate, measure_pool, precision_at, report
from benchmarks.gate_pool import make_pool

COUNT = 60


def _reads(request: GenerateRequest) -> str:
    """Says what stands in the context, and otherwise what no statement holds."""
    return request.messages[-1].context or f"Quux{request.seed or 0}"


def _model() -> FakeModel:
    return FakeModel([_reads] * (COUNT * 12))


def test_a_pool_is_made_of_five_kinds_and_no_relation_is_in_both_parts() -> None:
    pool = make_pool(260, 0)
    assert len(pool) == len({item.id for item in pool}) == 260 and make_pool(260, 0) == pool
    assert {item.kind for item in pool} == {"unknown", "known", "contrary", "chat"}
    parts = {part: {i.relation for i in pool if i.part == part} for part in ("fit", "test")}
    assert not parts["fit"] & parts["test"]
    assert any(item.recurrences for item in pool)
    for item in pool:
        assert item.expected.casefold() in item.statement.casefold()
        assert (item.gold == item.expected) == (item.kind in ("unknown", "known"))
        assert not vetoes(item.statement)


def test_the_oracle_wants_what_is_wrong_alone_and_right_with_the_statement(tmp_path: Path) -> None:
    rows = measure_pool(_model(), COUNT, 0, tmp_path / "rows.jsonl")
    assert {row.item.kind for row in rows if row.worth} == {"unknown", "known"}
    assert not any(row.worth for row in rows if row.item.kind in ("chat", "contrary"))
    assert any(row.signals.corrected for row in rows) and any(row.signals.recovered for row in rows)


def test_it_goes_on_from_kept_rows_and_measures_the_same(tmp_path: Path) -> None:
    kept = tmp_path / "rows.jsonl"
    whole = measure_pool(_model(), COUNT, 0, kept)
    lines = kept.read_text().splitlines()
    kept.write_text("\n".join([*lines[:25], lines[25][:40]]))
    calls = _model()
    again = measure_pool(calls, COUNT, 0, kept)
    assert [row.answers for row in again] == [row.answers for row in whole]
    assert len(calls.requests) == (COUNT - 25) * 12


def test_fitting_writes_weights_that_the_report_names(tmp_path: Path) -> None:
    rows = measure_pool(_model(), COUNT, 0)
    made = fit_gate(rows, tmp_path / "weights.toml")
    assert (tmp_path / "weights.toml").is_file() and made.about["fitted_on"]
    result = json.loads(json.dumps(report(rows, made)))
    methods = result["methods"]
    assert methods["everything"]["auprc"] == pytest.approx(result["oracle_rate"])
    assert methods["gate"]["auprc"] >= methods["random"]["auprc"]
    assert {"gate", "hand-set", "entropy only", "random", "everything"} <= set(methods)


def test_the_packaged_weights_are_fitted_ones() -> None:
    assert fitted().about.get("fitted_on")


labels = st.lists(st.booleans(), min_size=1, max_size=40)


@given(labels)
def test_a_perfect_order_has_all_the_area_and_no_order_has_the_share(known: list[bool]) -> None:
    perfect = [float(label) for label in known]
    assert average_precision(perfect, known) == pytest.approx(1.0 if any(known) else 0.0)
    flat = average_precision([0.5] * len(known), known)
    assert flat == pytest.approx(sum(known) / len(known))
    assert precision_at(perfect, known, 0.01) == float(any(known))


def test_labelled_pairs_are_even_and_divided_by_relation() -> None:
    pairs = read_pairs()
    assert len(pairs) >= 200 and len({(p.earlier, p.newer) for p in pairs}) == len(pairs)
    for split in ("dev", "test"):
        part = [pair.contradicts for pair in pairs if pair.split == split]
        assert sum(part) >= 50 and len(part) - sum(part) >= 50
    dev, test = ({p.relation for p in pairs if p.split == s} for s in ("dev", "test"))
    assert not dev & test
    stream = stream_pairs(1, 40)
    assert not {p.relation for p in stream if p.split == "dev"} & {
        p.relation for p in stream if p.split == "test"
    }
