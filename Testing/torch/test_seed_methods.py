"""The tables of the seed methods: what is typed, what is measured, how it is summed up, and that a table goes on."""

from __future__ import annotations

import json
import math
import shutil
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import partial_labels
import seed_methods
from seed import abdomen, arguments, brain, contact_matrix, markdown, plots, rows, runs, scores
from seed.markdown import Column
from seed.records import Records
from seed.rows import Row

from SemiSupSegLib.project.geometry import Grid, image_from_kji
from SemiSupSegLib.project.images import write_volume

pytestmark = pytest.mark.unit

DICE, HD95_MM = Column("Dice", "dice"), Column("95HD", "hd95_medpy_mm", 1)
NAMES = {"1": "femur", "2": "hip bone"}


def write_cases(folder: Path, cases: dict[str, tuple[np.ndarray | None, np.ndarray]]) -> Path:
    """Label map (or none) and image of each case, 1 mm along i and j and 2 mm along k, with ``dataset.json``."""
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    (folder / "dataset.json").write_text(json.dumps({"labels": NAMES, "modality": "MR"}), encoding="utf-8")
    for name, (labels, image) in cases.items():
        grid = Grid(image.shape[::-1], (1.0, 1.0, 2.0))
        write_volume(image_from_kji(image, grid), folder / "images" / f"{name}.nii.gz")
        if labels is not None:
            write_volume(image_from_kji(labels.astype(np.uint8), grid), folder / "labels" / f"{name}.nii.gz")
    return folder


@pytest.fixture
def ten_cases(tmp_path: Path) -> Path:
    volume = np.zeros((2, 3, 4), np.float32)
    return write_cases(tmp_path / "data", {f"case_{n:02d}": (volume > 0, volume) for n in range(10)})


def command(*words: object) -> Namespace:
    return arguments.read_arguments("", seed_methods.TABLES, list(map(str, words)))


def entry(case: str, dice: float, hd95: float | None = 1.0, **more: Any) -> dict[str, Any]:
    found = {"case": case, "label": "femur", "components": "all", "empty": hd95 is None, "dice": dice, "jaccard": dice}
    return {**found, "hd95_medpy_mm": hd95, "diagonal_mm": 100.0, "diagonal_voxels": 50.0, **more}


# --- what is typed ---


@pytest.mark.parametrize(
    ("table", "labelled", "unlabelled", "test"),
    [("atrium", 8, 24, 8), ("brain", 5, 5, 5), ("abdomen", None, None, 3), ("pelvis", 4, None, 6)],
)
def test_each_table_has_the_split_of_its_paper_and_two_seeds(
    ten_cases: Path, tmp_path: Path, table: str, labelled: int | None, unlabelled: int | None, test: int
) -> None:
    args = command(table, "--data", ten_cases, "--output", tmp_path / "out")
    assert (args.labelled, args.unlabelled, args.test, args.seeds) == (labelled, unlabelled, test, [1, 2])
    assert args.minutes == 10.0


def test_data_that_are_not_there_end_it_with_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as stop:
        command("atrium", "--data", tmp_path / "none", "--output", tmp_path / "out")
    said = str(stop.value.code)
    assert str(tmp_path / "none") in said
    assert "--data FOLDER" in said
    assert "\n" not in said


def test_the_default_data_lie_beside_the_repository(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(arguments, "refuse_missing", lambda _: None)
    args = command("pelvis", "--output", tmp_path)
    assert args.data == Path(__file__).resolve().parents[3] / "shared" / "data" / "pelvis_mr"


def test_one_seed_is_allowed_and_said_to_be_too_few(
    ten_cases: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command("atrium", "--data", ten_cases, "--output", tmp_path / "out", "--seeds", 3)
    assert "one seed" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [("--minutes", 0), ("--iterations", 0), ("--missing", 1)])
def test_budgets_and_rates_out_of_range_are_refused(ten_cases: Path, tmp_path: Path, wrong: tuple[str, int]) -> None:
    with pytest.raises(SystemExit):
        command("abdomen", "--data", ten_cases, "--output", tmp_path / "out", *wrong)


def test_a_row_names_method_note_backbone_and_options() -> None:
    row = Row.parse("auto+sdm@dynunet:sdm=true:sdm_weight=0.1")
    assert (row.method, row.backbone, row.options) == ("auto", "dynunet", ("sdm=true", "sdm_weight=0.1"))
    wanted = ["--method", "auto", "--backbone", "dynunet", "--option", "sdm=true", "--option", "sdm_weight=0.1"]
    assert row.words("vnet") == wanted
    assert Row.parse("supervised").words("vnet") == ["--method", "smile", "--backbone", "vnet"]
    assert Row.parse("naive").words(None) == ["--method", "naive"]


@pytest.mark.parametrize("wrong", ["", "@vnet", "smile@", "smile:paper"])
def test_a_row_that_lacks_a_part_is_refused_with_its_form(wrong: str) -> None:
    with pytest.raises(ValueError, match="METHOD"):
        Row.parse(wrong)


def test_a_method_that_is_not_there_is_left_out_with_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    found = rows.read_rows(["supervised", "no_such_method"], {"smile"})
    assert [row.said for row in found] == ["supervised"]
    assert "no method 'no_such_method'" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="nothing to make"):
        rows.read_rows(["no_such_method"], {"smile"})


# --- the cases ---


def test_cases_are_split_in_the_order_of_their_names(ten_cases: Path, tmp_path: Path) -> None:
    partial_labels.split(ten_cases, tmp_path / "split", 2, labelled=3, unlabelled=4)

    def there(part: str) -> list[str]:
        return sorted(path.name[5:7] for path in (tmp_path / "split" / part).iterdir())

    assert there("train/labels") == ["00", "01", "02"]
    assert there("train/images") == ["00", "01", "02", "03", "04", "05", "06"]
    assert there("test/images") == there("test/labels") == ["08", "09"]


def test_all_but_the_test_cases_are_labelled_unless_told_otherwise(ten_cases: Path, tmp_path: Path) -> None:
    partial_labels.split(ten_cases, tmp_path / "split", 3)
    assert len(list((tmp_path / "split" / "train" / "labels").iterdir())) == 7


def test_training_cases_may_come_with_strokes_and_test_cases_never_do(ten_cases: Path, tmp_path: Path) -> None:
    shutil.copytree(ten_cases / "labels", ten_cases / "strokes")
    for path in (ten_cases / "strokes").iterdir():
        path.write_bytes(b"strokes")
    partial_labels.split(ten_cases, tmp_path / "split", 2, labels_folder="strokes")
    written = [(tmp_path / "split" / part).iterdir() for part in ("train/strokes", "test/labels")]
    assert [{path.read_bytes() == b"strokes" for path in part} for part in written] == [{True}, {False}]


@pytest.mark.parametrize("wrong", [{"labelled": 9}, {"labelled": 4, "unlabelled": 5}, {"labelled": 0}])
def test_more_cases_than_there_are_end_it_with_one_sentence(ten_cases: Path, tmp_path: Path, wrong: dict) -> None:
    with pytest.raises(SystemExit, match="data has 10 cases: too few for"):
        partial_labels.split(ten_cases, tmp_path / "split", 2, **wrong)


# --- the commands ---


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Every command that would have been run; an import leaves an empty project."""
    lines: list[list[str]] = []

    def semisupseg(*words: object) -> str:
        lines.append([str(word) for word in words])
        if words[0] == "import":
            Path(str(words[1])).mkdir(parents=True)
        return json.dumps({"id": "run", "step": 10, "device": "cpu", "rounds": []})

    for module in (partial_labels, runs, brain):
        monkeypatch.setattr(module, "semisupseg", semisupseg)
    return lines


def after(line: list[str], word: str) -> str:
    return line[line.index(word) + 1]


def test_all_rows_train_with_the_same_words_but_for_their_method(
    ten_cases: Path, tmp_path: Path, typed: list[list[str]]
) -> None:
    args = command("atrium", "--data", ten_cases, "--output", tmp_path / "out", "--minutes", 3)
    for said in ("supervised", "uamt"):
        assert runs.train(tmp_path, Row.parse(said), 2, args)["minutes"] >= 0
    one, other = ([word for word in line if word not in ("smile", "uamt")] for line in typed)
    assert one == other
    assert (after(one, "--minutes"), after(one, "--seed"), after(one, "--spacing")) == ("3.0", "2", "1.25")
    assert after(one, "--backbone") == "vnet"
    assert "--from-scratch" in one


def test_strokes_are_imported_from_their_own_folder(tmp_path: Path, typed: list[list[str]]) -> None:
    partial_labels.make_project(tmp_path / "one", tmp_path, labels_folder="strokes")
    partial_labels.make_project(tmp_path / "two", tmp_path)
    assert after(typed[0], "--labels-folder") == "strokes"
    assert "--labels-folder" not in typed[1]


def test_smiler_may_rank_by_something_else_and_is_told_the_complete_labels(
    ten_cases: Path, tmp_path: Path, typed: list[list[str]]
) -> None:
    args = command("abdomen", "--data", ten_cases, "--output", tmp_path / "out", "--iterations", 50)
    partial_labels.fit(tmp_path, "smiler-confidence", args, seed=1, reference=ten_cases)
    partial_labels.fit(tmp_path, "naive", args, seed=1, reference=ten_cases)
    assert typed[0][0] == "relabel"
    assert (after(typed[0], "--select"), after(typed[0], "--reference")) == ("confidence", str(ten_cases))
    assert after(typed[0], "--iterations") == after(typed[1], "--iterations") == "50"
    assert "--reference" not in typed[1]
    partial_labels.fit(tmp_path, "smile-known", args, seed=1)
    assert (after(typed[2], "--method"), after(typed[2], "--option")) == ("smile", "implied_weight=0")


def test_constrained_rows_have_the_budget_of_the_pretrained_one_and_one_start(
    ten_cases: Path, tmp_path: Path, typed: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(brain, "_record", lambda *_: {})
    monkeypatch.setattr(brain, "methods_there", lambda: {"smile", "nonadjloss"})
    monkeypatch.setattr(brain, "report", lambda *_: None)
    more = ("--minutes", 8, "--pretraining", 0.25, "--seeds", 1, "--labelled", 3, "--unlabelled", 2, "--test", 2)
    brain.make(command("brain", "--data", ten_cases, "--output", tmp_path / "out", *more))
    trained = [line for line in typed if line[0] == "train"]
    methods, minutes = ([after(line, word) for line in trained] for word in ("--method", "--minutes"))
    assert methods == ["smile", "smile", "nonadjloss", "nonadjloss"]
    assert minutes == ["8.0", "2.0", "6.0", "6.0"]  # pretrained; the start of both others; the rest of their budget
    assert ["--from-scratch" in line for line in trained] == [True, True, False, False]
    assert ["unlabelled=0" in line for line in trained] == [False, False, True, False]
    added = [line for line in typed if line[0] == "add"]
    assert [Path(path).name for path in added[0][2:]] == ["case_03.nii.gz", "case_04.nii.gz"]
    assert typed.index(added[0]) == typed.index(trained[3]) - 1


# --- scores ---


def test_largest_component_joins_corners_and_drops_the_rest() -> None:
    mask = np.zeros((5, 5, 5), bool)
    mask[0, 0, 0] = mask[1, 1, 1] = mask[4, 4, 4] = True
    kept = scores.largest_component(mask)
    assert kept.sum() == 2
    assert not kept[4, 4, 4]
    assert not scores.largest_component(np.zeros((2, 2, 2), bool)).any()


def test_scores_are_of_the_training_grid_in_voxels_and_mm(tmp_path: Path) -> None:
    """Reference: one slab of the volume; predicted: the same and a far island, on a grid of 1 x 1 x 2 mm."""
    truth, found = np.zeros((6, 8, 8), np.uint8), np.zeros((6, 8, 8), np.uint8)
    truth[1:3, 2:6, 2:6] = found[1:3, 2:6, 2:6] = 1
    found[5, 4, 4] = 1
    test = write_cases(tmp_path / "test", {"case_1": (truth, truth.astype(np.float32))})
    predicted = write_cases(tmp_path / "predicted", {"case_1": (found, truth.astype(np.float32))})
    by_kind = {e["components"]: e for e in scores.scores(predicted, test, "1,1,2")}
    whole, largest = by_kind["all"], by_kind["largest"]
    assert {e["label"] for e in by_kind.values()} == {"femur"}  # no hip bone in the reference: left out
    assert (largest["dice"], largest["hd_medpy_mm"], largest["empty"]) == (1.0, 0.0, False)
    assert whole["dice"] == pytest.approx(64 / 65)
    assert (whole["hd_medpy_voxels"], whole["hd_medpy_mm"]) == (3.0, 6.0)  # the island is three slices away
    assert whole["diagonal_mm"] == pytest.approx(math.hypot(8, 8, 12))
    assert whole["diagonal_voxels"] == pytest.approx(math.hypot(8, 8, 6))
    coarse = {e["components"]: e for e in scores.scores(predicted, test, "2")}
    assert coarse["largest"]["dice"] == 1.0


def test_a_label_that_nothing_is_predicted_of_has_no_distance(tmp_path: Path) -> None:
    truth = np.zeros((4, 4, 4), np.uint8)
    truth[1:3, 1:3, 1:3] = 2
    test = write_cases(tmp_path / "test", {"case_1": (truth, truth.astype(np.float32))})
    nothing = write_cases(tmp_path / "predicted", {"case_1": (np.zeros_like(truth), truth.astype(np.float32))})
    for found in scores.scores(nothing, test, "1,1,2"):
        assert (found["empty"], found["dice"]) == (True, 0.0)
        assert found["hd95_medpy_mm"] is found["asd_medpy_voxels"] is None
        json.dumps(found)


# --- summing up ---


def test_an_empty_prediction_counts_as_the_papers_count_it_or_as_the_diagonal() -> None:
    missed = entry("a", 0.0, None)
    assert markdown.value(missed, HD95_MM) == 0.0
    assert markdown.value(missed, Column("", "hd95_medpy_mm", 1, "diagonal")) == 100.0
    assert math.isnan(markdown.value(missed, Column("", "hd95_medpy_mm", 1, "missing")))


def test_deviations_are_over_cases_and_over_seeds() -> None:
    """Case a: 0.6 and 0.8, case b: 0.4 and 0.8, with seeds 1 and 2."""
    records = [{"seed": 1, "scores": [entry("a", 0.6), entry("b", 0.4)]},
               {"seed": 2, "scores": [entry("a", 0.8), entry("b", 0.8)]}]  # fmt: skip
    found = markdown.spread(records, DICE, "all")
    assert found.mean == pytest.approx(0.65)
    assert found.cases == pytest.approx(np.std([0.7, 0.6], ddof=1))
    assert found.seeds == pytest.approx(np.std([0.5, 0.8], ddof=1))
    assert markdown.cell(found, 2) == "0.65 ± 0.07 (s 0.21)"
    assert markdown.cell(markdown.spread(records[:1], DICE, "all"), 2) == "0.50 ± 0.14"
    assert markdown.cell(markdown.spread([], DICE, "all"), 2) == "–"


def test_a_case_has_the_mean_of_its_labels() -> None:
    record = {"seed": 1, "scores": [entry("a", 0.2), entry("a", 0.6, label="hip bone"), entry("b", 0.8)]}
    assert markdown.spread([record], DICE, "all").mean == pytest.approx((0.4 + 0.8) / 2)


def test_a_table_has_a_line_a_row_with_seeds_steps_and_empty_predictions() -> None:
    made = [{"row": "uamt", "seed": s, "steps": 100 + s, "minutes": 2.0, "scores": [entry("a", 0.5, None)],
             "cases": [{"case": "a", "m1": 0.25}]} for s in (1, 2)]  # fmt: skip
    table = markdown.methods_table(
        markdown.by_row(made, ["smile", "uamt"]), (DICE,), "all", extra=(Column("m1", "m1", 2),)
    )
    lines = table.splitlines()
    assert lines[0] == "| method | seeds | steps | Dice | m1 | empty | minutes |"
    assert lines[2] == "| uamt | 1/2 | 101/102 | 0.500 (s 0.000) | 0.25 (s 0.00) | 2 of 2 | 2.0 |"
    assert len(lines) == 3


def test_relabel_precision_is_listed_per_round() -> None:
    rounds = [{"precision": {"femur": 0.5, "hip bone": None}}, {"precision": {"femur": 0.75, "hip bone": None}}]
    made = [{"method": "smiler", "missing": 0.7, "rounds": rounds}, {"method": "naive", "missing": 0.7, "rounds": []}]
    lines = abdomen.rounds_table(made).splitlines()
    assert lines[2] == "| method | missing | round | femur |"
    assert lines[4:] == ["| smiler | 0.7 | 1 | 0.500 |", "| smiler | 0.7 | 2 | 0.750 |"]
    assert abdomen.rounds_table(made[1:]) == ""


def test_the_caption_says_machine_budget_and_date() -> None:
    args = Namespace(data=Path("left_atrium"), iterations=None, minutes=7.5, test=8)
    made = [{"device": "cpu", "date": "2026-11-22", "load_before": 0.5, "seed": s} for s in (1, 2)]
    said = runs.caption(args, made)
    for part in ("left_atrium", "7.5 minutes a row", "seeds 1 2", "cores", "cpu", "2026-11-22"):
        assert part in said
    assert "\n" not in said


def test_plots_are_written(tmp_path: Path) -> None:
    made = {"smile": [{"scores": [entry("a", 0.5), entry("b", 0.7, None)]}]}
    plots.points_of_rows(made, (DICE, HD95_MM), "all", tmp_path / "points.png", "a caption")
    plots.curves({"smile": [(0.0, 0.9, 0.01), (0.5, 0.8, math.nan)]}, ("x", "y"), tmp_path / "curves.png", "a caption")
    plots.panels_of_rounds({"0.7": {"femur": [[0.5, math.nan], [0.6, 0.7]]}}, ("x", "y"), tmp_path / "rounds.png", "c")
    touching = np.eye(3, k=1, dtype=bool) | np.eye(3, k=-1, dtype=bool)
    plots.matrices({"reference": touching, "trained": ~touching}, touching, tmp_path / "matrices.png", "a caption")
    for name in ("points", "curves", "rounds", "matrices"):
        assert (tmp_path / f"{name}.png").stat().st_size > 1000


# --- whole reports ---


def test_the_brain_report_has_both_measures_and_the_picture_of_the_contacts(
    ten_cases: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Reference: femur and hip bone apart; predicted: side by side, which the graph forbids."""
    apart, beside = np.zeros((2, 3, 4), np.uint8), np.zeros((2, 3, 4), np.uint8)
    apart[0, 0, 0] = beside[0, 0, 0] = 1
    apart[0, 0, 3] = beside[0, 0, 1] = 2
    image, forbidden = apart.astype(np.float32), [("femur", "hip bone")]
    test = write_cases(tmp_path / "test", {"case_1": (apart, image)})
    predicted = write_cases(tmp_path / "predicted", {"case_1": (beside, image)})
    counts, truth = (contact_matrix.contacts_of(folder, test, "1,1,2") for folder in (predicted, test))
    measured = contact_matrix.measures_of(counts, forbidden, test)
    assert [(m["case"], m["m1"]) for m in measured] == [("case_1", 1.0)]
    assert contact_matrix.measures_of(truth, forbidden, test)[0]["m1"] == 0.0
    assert contact_matrix.measures_of(truth, [], test)[0]["m1"] is None
    entries = [{**e, "case": "case_1"} for e in scores.scores(predicted, test, "1,1,2")]
    common = {"scores": entries, "cases": measured, "contacts": contact_matrix.contact_matrix(counts),
              "reference_cases": contact_matrix.measures_of(truth, forbidden, test), "forbidden": forbidden,
              "reference_contacts": contact_matrix.contact_matrix(truth), "minutes": 1.0, "steps": 5, "device": "cpu",
              "seed": 1, "date": "2026-11-22", "load_before": None}  # fmt: skip
    args = command("brain", "--data", ten_cases, "--output", tmp_path / "out", "--seeds", 1)
    brain.report(args, [{"row": row, **common} for row in ("start", "pretrained", "nonadjloss")])
    said = capsys.readouterr().out
    assert "| start | 1 | 5 |" in said
    assert "2 labels, 5 labelled cases, 1 forbidden pairs" in said
    assert "| 1.0000 |" in said  # m1
    assert (tmp_path / "out" / "brain_contacts.png").is_file()
    assert (tmp_path / "out" / "table.md").read_text(encoding="utf-8").strip() in said


def test_the_abdomen_report_has_a_curve_and_a_precision_plot(
    ten_cases: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    largest = entry("a", 0.6, components="largest", assd_medpy_mm=1.0)
    both = [entry("a", 0.5, assd_medpy_mm=1.0), largest]
    common = {"scores": both, "kept": 4, "seed": 1, "minutes": 1.0, "device": "cpu", "date": "d", "load_before": 1.0}
    rounds = [{"precision": {"femur": 0.5}}, {"precision": {"femur": 0.75}}]
    made = [{"row": f"{m} at {r:g}", "method": m, "missing": r, "rounds": rounds if m == "smiler" else [], **common}
            for r in (0.0, 0.5) for m in ("smile", "smiler")]  # fmt: skip
    args = command("abdomen", "--data", ten_cases, "--output", tmp_path / "out", "--seeds", 1)
    abdomen.report(args, made, [record["row"] for record in made])
    said = capsys.readouterr().out
    assert "Annotations left: 4–4 at 0, 4–4 at 0.5" in said
    assert "| smiler | 0.5 | 2 | 0.750 |" in said
    for name in ("dice", "precision"):
        assert (tmp_path / "out" / f"abdomen_{name}.png").is_file()


# --- going on ---


@pytest.fixture
def small_table(tmp_path: Path) -> Namespace:
    return Namespace(output=tmp_path / "out", seeds=[1, 2], minutes=1.0, test=1)


def test_an_interrupted_table_goes_on_where_it_was(small_table: Namespace) -> None:
    wanted, made = [Row.parse("smile"), Row.parse("auto")], []

    def one(row: Row, seed: int) -> dict[str, Any]:
        made.append((row.said, seed))
        if made == [("smile", 1), ("auto", 1), ("smile", 2)]:
            raise KeyboardInterrupt
        return {"minutes": 1.0}

    with pytest.raises(KeyboardInterrupt):
        runs.make_rows(wanted, small_table, Records(small_table.output, {"minutes": 1.0}), one)
    records = Records(small_table.output, {"minutes": 1.0})
    found = runs.make_rows(wanted, small_table, records, one)
    assert made[3:] == [("smile", 2), ("auto", 2)]
    assert [(r["row"], r["seed"]) for r in found] == [("smile", 1), ("auto", 1), ("smile", 2), ("auto", 2)]


def test_a_line_that_was_cut_short_is_made_again(tmp_path: Path) -> None:
    records = Records(tmp_path, {})
    records.append({"row": "smile", "seed": 1})
    with records.path.open("a", encoding="utf-8") as file:
        file.write('{"row": "smile", "se')
    assert not records.has("smile", 2)
    records.append({"row": "smile", "seed": 2})
    assert [r["seed"] for r in Records(tmp_path, {}).all()] == [1, 2]


def test_a_table_that_was_begun_otherwise_is_refused_by_name(tmp_path: Path) -> None:
    Records(tmp_path, {"minutes": 10, "test": 8}).append({"row": "smile", "seed": 1})
    with pytest.raises(SystemExit, match="another minutes: give another --output"):
        Records(tmp_path, {"minutes": 5, "test": 8})
    assert Records(tmp_path, {"minutes": 10, "test": 8}).has("smile", 1)


def test_rows_and_seeds_may_be_added_to_a_table(ten_cases: Path, tmp_path: Path) -> None:
    one = command("atrium", "--data", ten_cases, "--output", tmp_path / "out")
    more = ("--seeds", 1, 2, 3, "--methods", "uamt")
    other = command("atrium", "--data", ten_cases, "--output", tmp_path / "out", *more)
    assert json.dumps(arguments.settings(one)) == json.dumps(arguments.settings(other))
