"""`treadle monitor` and `treadle feedback` on a small shop, whose orders are late more often when they are large."""

import json
import re
import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import polars as pl
import pytest
from prometheus_client.parser import text_string_to_metric_families
from sklearn.metrics import log_loss, roc_auc_score

from orders import CARD, DIGEST, MISTAKE, NAMES, ROWS, START, USUAL, make_orders, monitor, read_findings, spoil
from runs import treadle
from treadle.errors import TreadleError
from treadle.monitoring.alerts import Alerting, send_alerts
from treadle.monitoring.estimate import estimate_binary
from treadle.monitoring.labels import join_labels, store_labels
from treadle.monitoring.log import open_log
from treadle.monitoring.monitor import Monitored
from treadle.monitoring.monitor import monitor as find_all
from treadle.profiles.blocks import Blocking
from treadle.profiles.calibration import fit_calibration
from treadle.profiles.cells import fit_cells
from treadle.profiles.profile import count_rows
from treadle.profiles.realised import relate_to_prior
from treadle.profiles.reference import Performance, Reference, read_reference


def test_weeks_like_the_reference_raise_no_alarm(made, log, capsys):
    code, found = read_findings(made, log, capsys)

    assert (code, found["alarm"]) == (0, False)
    assert [block["block"] for block in found["blocks"]] == ["2024-05-20", "2024-05-27", "2024-06-03", "2024-06-10"]
    assert {block["unjudged"] for block in found["blocks"]} == {None}


@pytest.mark.slow
def test_a_log_without_alarms_and_labels_needs_no_torch(made, log):
    told = "import sys; from treadle.cli.main import main; main(sys.argv[1:]); sys.exit('torch' in sys.modules)"

    subprocess.run([sys.executable, "-c", told, "monitor", str(made), "--log", str(log)], check=True)


def test_a_fault_alarms_and_names_its_column(made, log, capsys):
    spoil(log, 2, country=pl.col("country").str.to_uppercase())

    assert monitor(made, log) == 1
    out = capsys.readouterr().out
    assert re.search(r"2024-06-03 +200 rows +alarm", out)
    assert "1 of 4 weeks alarm" in out
    code, found = read_findings(made, log, capsys)
    (first, *_), words = found["blocks"][2]["alarms"], found["blocks"][2]["alarms"][0]["words"]
    assert (code, first["columns"], words) == (1, ["country"], "other: 0 % before, 100.0 % now")


def test_github_is_given_an_error_for_the_block(made, log, capsys):
    spoil(log, 1, amount=pl.lit(None, dtype=pl.Float64))

    monitor(made, log, "--format", "github")

    error, notice = capsys.readouterr().out.splitlines()
    assert error.startswith("::error title=treadle monitor shop-1 2024-05-27::amount")
    assert "100.0 %25 now" in error
    assert notice.startswith("::notice title=treadle monitor::1 of 4 weeks alarm")


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".tsv"])
def test_a_file_says_what_the_folder_says(made, log, capsys, tmp_path, suffix):
    rows = pl.read_parquet(log / "*.parquet")
    file = tmp_path / f"rows{suffix}"
    if suffix == ".parquet":
        rows.write_parquet(file)
    else:
        rows.write_csv(file, separator="\t" if suffix == ".tsv" else ",")

    _, folder = read_findings(made, log, capsys)
    _, single = read_findings(made, file, capsys)

    assert single["blocks"] == folder["blocks"]


def test_the_log_of_a_server_is_read(made, tmp_path, capsys):
    from treadle.serving.log import PredictionLog, Record

    orders = make_orders(first=20, weeks=4, seed=1)
    types = {"amount": pl.Float64(), "size": pl.Int64(), "country": pl.String()}
    folder = tmp_path / "served"
    server = PredictionLog(
        folder,
        types=types,
        kept=NAMES,
        outputs={"probability": pl.Float64()},
        share=1.0,
        roll=timedelta(weeks=1),
        keyed=False,
    )
    for place, row in enumerate(orders.iter_rows(named=True)):
        cells = [row[name] for name in NAMES]
        server.add(Record(row["id"], row["time"], DIGEST, 1.5, cells, {"probability": row["probability"]}))
        if place % 150 == 149:
            server.flush(now=row["time"].replace(tzinfo=UTC))

    code, found = read_findings(made, folder, capsys)
    server.close(now=datetime(2024, 7, 1, tzinfo=UTC))
    _, closed = read_findings(made, folder, capsys)

    assert code == 0
    assert sum(block["rows"] for block in found["blocks"]) == 750  # the last ones are not written yet
    assert [block["rows"] for block in closed["blocks"]] == [ROWS] * 4
    assert give_labels(folder, tmp_path, orders.select("id", "late")) == 0
    capsys.readouterr()
    _, labelled = read_findings(made, folder, capsys)
    assert labelled["blocks"][3]["realised"]["share"] == 1


def test_the_last_seconds_count_once(made, log, capsys):
    """A server that was killed leaves parts beside the file that they have become."""
    _, whole = read_findings(made, log, capsys)
    for name in ("2", "3"):
        (log / "recent" / name).mkdir(parents=True)
        (log / "recent" / name / "000000.parquet").write_bytes((log / f"{name}.parquet").read_bytes())
    (log / "3.parquet").unlink()  # it is still in parts

    _, found = read_findings(made, log, capsys)

    assert [block["rows"] for block in found["blocks"]] == [200, 200, 200, 200]
    assert found["blocks"] == whole["blocks"]


def test_an_input_that_is_called_like_a_column_of_the_log_is_found(made, log, capsys, past, tmp_path):
    """As `treadle serve` records it: under `input.time`."""
    reference = read_reference(made / "evaluation" / "reference")
    columns = tuple(replace(column, name="time") if column.name == "size" else column for column in reference.columns)
    for file in log.iterdir():
        pl.read_parquet(file).rename({"size": "input.time"}).write_parquet(file)

    found = open_log(log, reference=replace(reference, columns=columns), time=None, digest=DIGEST)

    assert (found.reading.time, found.reading.absent) == ("log.time", [])
    assert found.rows.collect().schema["time"] == pl.Float64


def test_an_input_that_is_called_like_an_output_is_no_prediction(made, log):
    reference = read_reference(made / "evaluation" / "reference")
    weather = replace(reference, task="multiclass", ignored={"probability_of_rain": "its values cannot be counted"})
    spoil(log, 0, probability_late=pl.lit(0.5), probability_lost=pl.lit(0.5), probability_of_rain=pl.lit(0.9))

    found = open_log(log, reference=weather, time=None, digest=DIGEST)

    assert found.reading.outputs == ["probability_late", "probability_lost"]


def test_labels_go_by_the_id_of_a_prediction_where_an_input_is_called_id_too(made, log, capsys, tmp_path):
    """As `treadle serve` records them: `id` is the prediction's, the input is `input.id`."""
    for file in log.iterdir():
        frame = pl.read_parquet(file)
        own = pl.Series("id", [f"{file.stem}.{place}" for place in range(len(frame))])
        frame.with_columns(pl.lit("x").alias("input.id"), own).write_parquet(file)
    rows = pl.concat(map(pl.read_parquet, sorted(log.iterdir())))
    rows.select("id", pl.lit(1).alias("label")).write_csv(tmp_path / "labels.csv")

    assert treadle("feedback", str(tmp_path / "labels.csv"), "--log", str(log)) == 0
    capsys.readouterr()
    _, found = read_findings(made, log, capsys)

    assert [block["realised"]["share"] for block in found["blocks"]] == [1, 1, 1, 1]
    assert not any("match no row" in note for note in found["notes"])


def test_rows_of_another_bundle_are_left_out(made, log, capsys):
    spoil(log, 3, bundle=pl.lit("0123456789ab"), amount=pl.lit(0.0))

    code, found = read_findings(made, log, capsys)

    assert (code, len(found["blocks"])) == (0, 3)


def test_the_newest_weeks_alone(made, log, capsys):
    spoil(log, 0, amount=pl.lit(0.0))

    code, found = read_findings(made, log, capsys, "--last", "2")

    assert (code, [block["block"] for block in found["blocks"]]) == (0, ["2024-06-03", "2024-06-10"])


def test_a_season_that_the_reference_does_not_have_is_told(made, log, capsys):
    code, found = read_findings(made, log, capsys, "--season")

    assert code == 0
    assert found["notes"] == ["the season: 2 blocks without one like it in the reference, such as 2024-06-03"]


@pytest.mark.parametrize("absent", [["country"], ["amount", "country"]], ids=["one", "all but one"])
def test_a_column_that_the_log_lacks_alarms_unless_it_is_ignored(made, log, capsys, absent):
    for file in log.iterdir():
        pl.read_parquet(file).drop(absent).write_parquet(file)

    code, found = read_findings(made, log, capsys)

    assert (code, found["absent"]) == (1, absent)
    for name in absent:
        (alarm,) = (one for one in found["blocks"][0]["alarms"] if one["columns"] == [name])
        assert (alarm["kind"], alarm["words"]) == ("missing", "missing: 0 % before, 100.0 % now")
    alone = [len(one["columns"]) == 1 for one in found["blocks"][0]["alarms"]]
    assert alone == sorted(alone, reverse=True)
    code, found = read_findings(made, log, capsys, "--ignore", ", ".join(absent))
    assert (code, found["absent"], found["ignored"]["country"]) == (0, [], "--ignore")
    assert found["blocks"][0]["estimated"]


def test_rows_without_a_time_and_of_the_time_of_the_training_are_told(made, log, capsys, past):
    lost = pl.read_parquet(log / "3.parquet").with_columns(time=pl.lit(None, pl.Datetime("us")))
    lost.write_parquet(log / "3.parquet")
    past.drop("late").head(200).write_parquet(log / "old.parquet")

    code, found = read_findings(made, log, capsys)

    assert code == 0
    assert found["notes"][0] == "200 rows without a time, and so in no block"
    assert found["notes"][1].startswith("1 block is older than the newest training rows, such as 2024-01-01: the model")
    assert [block["block"] for block in found["blocks"]] == ["2024-01-01", "2024-05-20", "2024-05-27", "2024-06-03"]
    for file in log.iterdir():
        lost.write_parquet(file)
    assert treadle("monitor", str(made), "--log", str(log)) == 0
    assert "none of 0 weeks can be judged" in capsys.readouterr().out
    for file in log.iterdir():
        lost.head(0).write_parquet(file)
    assert treadle("monitor", str(made), "--log", str(log)) == MISTAKE
    assert capsys.readouterr().err.endswith("holds no rows\n")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--ignore", "contry"], "--ignore 'contry' is no column that is monitored. Did you mean 'country'?"),
        (["--ignore", "amount,size,country"], "--ignore leaves no column to be monitored"),
        (["--time", "tiem"], "has no column 'tiem' for --time"),
        (["--time", "amount"], "the column 'amount' must be a date or datetime, found Float64\n"),
        (["--time", "size"], "found Int64; write numbers that count from 1970 as moments: `pl.from_epoch("),
        (["--false-alarms", "0.9"], "--false-alarms must be above 0 and at most 0.5; found 0.9"),
        (["--last", "0"], "--last must be at least 1"),
        (["--min-labels", "0"], "--min-labels must be above 0 and at most 1; found 0"),
        (["--command", "cat"], "need --output"),
        (["--quiet", "1 day"], "--quiet '1 day': a duration is a whole number and s, m, h, d or w"),
        (["--output", "out", "--webhook", ""], "--webhook must be an address of http or https; found ''"),
        (["--output", "out", "--command", "cat '"], "is no command: No closing quotation"),
        (["--output", "out", "--command", " "], "is no command: it is empty"),
        (["--reference", "copied"], "no reference in copied"),
    ],
    ids=[
        "column to ignore",
        "all ignored",
        "time",
        "no-time",
        "number",
        "share",
        "last",
        "labels",
        "output",
        "quiet",
        "webhook",
        "quotation",
        "empty",
        "reference",
    ],
)
def test_a_mistake_is_told(made, log, capsys, options, message):
    assert monitor(made, log, *options) == MISTAKE
    assert message in capsys.readouterr().err


def test_a_log_of_another_bundle_says_whose_rows_it_has(made, log, capsys):
    for week in range(4):
        spoil(log, week, bundle=pl.lit("feed"))

    assert monitor(made, log) == MISTAKE
    assert f"has no row of the bundle {DIGEST[:12]}; it has rows of feed" in capsys.readouterr().err


def test_a_run_without_a_bundle_or_a_reference_says_so(log, tmp_path, capsys):
    assert treadle("monitor", str(tmp_path / "none"), "--log", str(log)) == MISTAKE
    assert "none; `treadle ls` lists the runs" in capsys.readouterr().err
    (tmp_path / "bundle.json").write_bytes(CARD)
    assert treadle("monitor", str(tmp_path), "--log", str(log)) == MISTAKE
    assert re.search(r"no reference in .* --reference FOLDER names a copy", capsys.readouterr().err)


def test_a_copy_of_the_reference_says_the_same(made, log, tmp_path, capsys):
    bundle, copy = tmp_path / "alone", tmp_path / "copy"
    bundle.mkdir()
    (bundle / "bundle.json").write_bytes(CARD)
    shutil.copytree(made / "evaluation" / "reference", copy)

    _, whole = read_findings(made, log, capsys)
    _, found = read_findings(bundle, log, capsys, "--reference", str(copy))

    assert found["blocks"] == whole["blocks"]


def find(made, log, *, now=START + timedelta(weeks=100)):
    reference = read_reference(made / "evaluation" / "reference")
    return find_all(
        open_log(log, reference=reference, time=None, digest=None),
        reference=reference,
        settings=USUAL,
        load=None,
        monitored=Monitored("shop", DIGEST, str(log), now),
    )


def test_a_week_that_is_not_over_is_not_judged(made, log):
    found = find(made, log, now=START + timedelta(weeks=23, days=3))

    assert [block.judged.unjudged for block in found.blocks] == [None, None, None, "not over until 2024-06-17"]


def test_the_expected_auc_counts_each_pair_by_chance(past):
    scores = past["probability"].to_numpy().round(2)[:300]
    calibration = fit_calibration(past["probability"].to_numpy(), past["late"].to_numpy().astype(float))
    chances = calibration.read(scores)

    found = estimate_binary(scores, calibration=calibration, threshold=0.5)

    order = np.sign(scores[:, None] - scores[None, :]) / 2 + 0.5
    pairs = chances[:, None] * (1 - chances[None, :])
    assert found["auroc"] == pytest.approx((order * pairs).sum() / pairs.sum(), rel=1e-12)
    assert found["accuracy"] == pytest.approx(np.where(scores >= 0.5, chances, 1 - chances).mean())


def test_estimates_are_near_the_truth_where_nothing_has_changed(made, log, capsys):
    _, found = read_findings(made, log, capsys)
    truth = make_orders(first=20, weeks=4, seed=1)

    for block, week in zip(found["blocks"], truth.iter_slices(ROWS), strict=True):
        assert block["estimated"]["log_loss"] == pytest.approx(log_loss(week["late"], week["probability"]), abs=0.08)


def give_labels(log, tmp_path, rows, **options):
    file = tmp_path / "labels.csv"
    rows.write_csv(file)
    extra = [word for name, value in options.items() for word in (f"--{name}", value)]
    return treadle("feedback", str(file), "--log", str(log), "--label", "late", *extra)


def test_labels_turn_estimates_into_performance(made, log, tmp_path, capsys):
    truth = make_orders(first=20, weeks=4, seed=1)

    assert give_labels(log, tmp_path, truth.select("id", "late").head(2 * ROWS)) == 0

    capsys.readouterr()
    _, found = read_findings(made, log, capsys)
    week = truth.head(ROWS)
    assert found["blocks"][0]["realised"]["share"] == 1
    assert found["blocks"][0]["realised"]["metrics"]["auroc"] == pytest.approx(
        roc_auc_score(week["late"], week["probability"]), abs=1e-6
    )
    assert found["blocks"][3]["realised"] == {
        "metrics": {},
        "share": 0,
        "maturing": 0,
        "rows": 0,
        "prior_share": None,
    }


def test_a_day_counts_only_when_nearly_all_of_its_labels_are_there(made, log, tmp_path, capsys):
    week = make_orders(first=20, weeks=1, seed=1)
    day = week["time"].dt.truncate("1d")
    first_day = week.filter(day == day[0])
    give_labels(log, tmp_path, week.filter(day != day[0]).select("id", "late"))
    give_labels(log, tmp_path, first_day.head(len(first_day) // 2).select("id", "late"))

    capsys.readouterr()
    _, found = read_findings(made, log, capsys)

    realised = found["blocks"][0]["realised"]
    kept = week.filter(day != day[0])
    assert realised["maturing"] == 1
    assert realised["metrics"]["auroc"] == pytest.approx(roc_auc_score(kept["late"], kept["probability"]), abs=1e-6)


def test_a_day_does_not_wait_for_rows_that_have_no_label_for_good(made, log, tmp_path, capsys):
    week = make_orders(first=20, weeks=1, seed=1).with_row_index()
    labels = week.select("id", late=pl.when(pl.col("index") % 4 > 0).then("late"))
    give_labels(log, tmp_path, labels)
    assert "none yet of " in capsys.readouterr().out
    waiting = read_findings(made, log, capsys)[1]["blocks"][0]["realised"]

    give_labels(log, tmp_path, labels.filter(pl.col("late").is_null()), empty="never")

    assert "0 labels" in (told := capsys.readouterr().out)
    assert f"never any of {ROWS // 4} rows" in told
    realised = read_findings(made, log, capsys)[1]["blocks"][0]["realised"]
    kept = week.filter(pl.col("index") % 4 > 0)
    assert (waiting["metrics"], waiting["maturing"]) == ({}, 7)
    assert (realised["share"], realised["maturing"], realised["rows"]) == (1, 0, len(kept))
    assert realised["metrics"]["auroc"] == pytest.approx(roc_auc_score(kept["late"], kept["probability"]), abs=1e-6)


def test_the_label_that_was_known_last_counts(made, log, tmp_path):
    reference = read_reference(made / "evaluation" / "reference")
    rows = [("order-4000", 1, "2024-06-02"), ("order-4000", 0, "2024-06-01"), ("order-4001", None, "2024-06-01")]
    schema = ["id", "late", "known_at"]
    file = tmp_path / "labels.parquet"
    pl.DataFrame(rows, schema=schema, orient="row").write_parquet(file)

    stored = store_labels(file, log=log, by=["id"], label="late", empty="awaited", now=START)

    assert (stored.num_rows, stored.num_empty) == (2, 1)
    opened = open_log(log, reference=reference, time=None, digest=None)
    for day, label in ((1, "0"), (2, "1")):
        joined = join_labels(opened, now=datetime(2024, 6, day)).collect()  # noqa: DTZ001 - UTC
        assert joined.filter(pl.col("label").is_not_null()).select("id", "label").rows() == [("order-4000", label)]


def test_the_moment_decides_which_label_was_known_last_not_its_text(made, log, tmp_path):
    reference = read_reference(made / "evaluation" / "reference")
    rows = [("order-4000", 1, "2024-06-01T23:00:00-05:00"), ("order-4000", 0, "2024-06-02 03:00")]
    file = tmp_path / "labels.parquet"
    pl.DataFrame(rows, schema=["id", "late", "known_at"], orient="row").write_parquet(file)

    store_labels(file, log=log, by=["id"], label="late", empty="awaited", now=START)

    opened = open_log(log, reference=reference, time=None, digest=None)
    joined = join_labels(opened, now=datetime(2024, 6, 3)).collect()  # noqa: DTZ001 - UTC
    assert joined.filter(pl.col("label").is_not_null()).select("id", "label").rows() == [("order-4000", "1")]
    pl.DataFrame([("order-4000", 1, "yesterday")], schema=["id", "late", "known_at"], orient="row").write_parquet(file)
    with pytest.raises(TreadleError, match="1 values of 'known_at' are no moments, such as 'yesterday'"):
        store_labels(file, log=log, by=["id"], label="late", empty="awaited", now=START)


@pytest.mark.parametrize("is_text", [False, True], ids=["folder", "csv"])
def test_a_key_of_a_number_and_a_moment_joins_however_it_is_written(made, log, tmp_path, capsys, is_text):
    truth = make_orders(first=20, weeks=4, seed=1)
    if is_text:
        rows, log = pl.read_parquet(log / "*.parquet"), tmp_path / "rows.csv"
        rows.write_csv(log)
    written = truth.select(pl.col("size").cast(pl.Float64), pl.col("time").dt.strftime("%Y-%m-%dT%H:%M:%S%.fZ"), "late")

    assert give_labels(log, tmp_path, written, by="size,time") == 0

    capsys.readouterr()
    _, found = read_findings(made, log, capsys)
    assert [block["realised"]["share"] for block in found["blocks"]] == [1] * 4
    assert found["notes"] == []
    week = truth.head(ROWS)
    assert found["blocks"][0]["realised"]["metrics"]["auroc"] == pytest.approx(
        roc_auc_score(week["late"], week["probability"]), abs=1e-6
    )


def test_labels_that_match_no_row_are_told(made, log, tmp_path, capsys):
    truth = make_orders(first=20, weeks=4, seed=1)
    spoil(log, 0, bundle=pl.lit("feed"))  # rows of another bundle are rows of the log
    give_labels(log, tmp_path, truth.select("late", pl.col("id").str.replace("order-479", "order 479")))
    assert "; 10 match no row of the log, by id (--by)\n" in capsys.readouterr().out

    _, found = read_findings(made, log, capsys)

    assert found["notes"] == ["10 of 800 labels match no row of the log, such as that of id order 4790"]


def test_of_a_private_key_no_value_is_told_on_any_way_out(made, log, tmp_path, capsys):
    reference = read_reference(made / "evaluation" / "reference")
    guarded = replace(reference.keep(["amount", "size"]), ignored={"country": "private"})
    guarded.write(tmp_path / "guarded")
    for week in range(4):
        spoil(log, week, country=pl.lit("Utopia"))
    spoil(log, 3, amount=pl.lit(None, dtype=pl.Float64))
    labels = pl.DataFrame({"country": ["Erewhon"], "late": [1]})
    assert give_labels(log, tmp_path, labels, by="country") == 0
    out = tmp_path / "out"
    options = ["--reference", str(tmp_path / "guarded"), "--output", str(out), "--command", f"tee {tmp_path / 'told'}"]
    capsys.readouterr()

    assert monitor(made, log, *options) == 1

    printed = capsys.readouterr().out
    assert "1 of 1 labels match no row of the log" in printed
    counts = out / "counts.parquet"
    assert treadle("profile", str(made), "--log", str(log), "-o", str(counts), *options[:2]) == 0
    written = [printed.encode(), *(file.read_bytes() for file in [tmp_path / "told", *out.iterdir()])]
    assert len(written) == 7
    assert [text for text in written if b"Utopia" in text or b"Erewhon" in text] == []


@pytest.mark.parametrize("key", ["input.id", "email"], ids=["called like a column of the log", "not read by the model"])
def test_of_a_key_that_may_be_private_no_value_is_told(made, log, tmp_path, capsys, key):
    reference = replace(read_reference(made / "evaluation" / "reference"), ignored={"id": "private"})
    reference.write(tmp_path / "guarded")
    for week in range(4):
        spoil(log, week, **{key: pl.lit("Utopia")})
    assert give_labels(log, tmp_path, pl.DataFrame({key: ["Erewhon"], "late": [1]}), by=key) == 0
    capsys.readouterr()

    _, found = read_findings(made, log, capsys, "--reference", str(tmp_path / "guarded"))

    assert "1 of 1 labels match no row of the log" in found["notes"]


def test_a_binary_label_between_0_and_1_is_refused(made, log, tmp_path, capsys):
    give_labels(log, tmp_path, pl.DataFrame({"id": ["order-4000", "order-4001"], "late": [1.0, 0.7]}))
    capsys.readouterr()

    assert monitor(made, log, "--min-labels", "0.01") == MISTAKE
    assert "labels are neither 0 nor 1 (nor true or false): 1, such as '0.7'" in capsys.readouterr().err


def test_labels_of_a_log_are_all_by_the_same_columns(log, tmp_path):
    orders = make_orders(first=20, weeks=1, seed=1)
    give_labels(log, tmp_path, orders.select("id", "late"))
    file = tmp_path / "others.csv"
    orders.select("time", "late").write_csv(file)

    with pytest.raises(TreadleError, match=r"holds labels by id; give these by the same columns \(--by\)"):
        store_labels(file, log=log, by=["time"], label="late", empty="awaited", now=START)


def test_labels_without_their_column_or_key_are_refused(log, tmp_path, capsys):
    truth = make_orders(first=20, weeks=1, seed=1)

    assert give_labels(log, tmp_path, truth.select("id", lat="late")) == MISTAKE
    assert "has no column 'late'. Did you mean 'lat'?" in capsys.readouterr().err
    assert give_labels(log, tmp_path, truth.select("late", order="id"), by="order") == MISTAKE
    assert "has no column 'order' to join labels by" in capsys.readouterr().err


def test_pages_and_gauges_are_written(made, log, tmp_path, capsys):
    spoil(log, 3, country=pl.lit("fr"))

    assert monitor(made, log, "--output", str(tmp_path / "out")) == 1

    page = (tmp_path / "out" / "report.html").read_text()
    assert "country (values)" in page
    assert not re.search(r"(src|href)=\"(?!#)", page)
    gauges = (tmp_path / "out" / "metrics.prom").read_text()
    labels = f'model="shop-1",bundle="{DIGEST[:12]}"'
    assert f"treadle_monitor_alarm{{{labels}}} 1.0" in gauges
    assert re.search(rf'^treadle_monitor_column_strength{{{labels},column="country"}} [0-9.]+$', gauges, re.MULTILINE)
    families = {family.name: family for family in text_string_to_metric_families(gauges)}
    assert {family.type for family in families.values()} == {"gauge"}
    assert [sample.value for sample in families["treadle_monitor_rows"].samples] == [ROWS]
    assert json.loads((tmp_path / "out" / "findings.json").read_text())["alarm"]


TELL = f"{sys.executable} -c \"import sys; open('told.jsonl', 'a').write(sys.stdin.read() + chr(10))\""
DAY = timedelta(days=1)


@pytest.fixture
def tell(made, log, tmp_path, monkeypatch):
    """Judge the log and tell of its alarms; gives what is told."""
    monkeypatch.chdir(tmp_path)

    def tell(now, *, webhook=None, command=None):
        alerting = Alerting(webhook, command, quiet=DAY, state=tmp_path / "alerts.json")
        return send_alerts(find(made, log), alerting, now=now)

    return tell


def test_an_alarm_is_told_once_and_its_columns_again_after_the_quiet_time(log, tell, tmp_path):
    now = START
    spoil(log, 3, country=pl.lit("fr"))
    assert tell(now, command=TELL) == ["2024-06-10"]
    assert tell(now + 2 * DAY, command=TELL) == []

    spoil(log, 2, country=pl.lit("fr"))
    assert tell(now + DAY / 2, command=TELL) == []
    assert tell(now + DAY, command=TELL) == ["2024-06-03"]

    first, second = map(json.loads, (tmp_path / "told.jsonl").read_text().splitlines())
    assert [block["block"] for block in first["blocks"]] == ["2024-06-10"]
    assert [block["block"] for block in second["blocks"]] == ["2024-06-03"]
    assert "2024-06-10: country" in first["text"]


def test_an_alarm_is_told_though_a_prediction_is_not_finite(log, tell, tmp_path):
    first = pl.int_range(pl.len()) == 0
    spoil(log, 2, probability=pl.when(first).then(float("nan")).otherwise("probability"))
    spoil(log, 3, country=pl.lit("fr"), probability=pl.lit(float("inf")))

    assert tell(START, command=TELL) == ["2024-06-10"]

    (told,) = json.loads((tmp_path / "told.jsonl").read_text())["blocks"]
    assert (told["mean_prediction"], told["estimated"]) == (None, {})


def test_predictions_that_are_not_finite_are_counted_and_left_out(made, log):
    whole = find(made, log).blocks[2]
    first = pl.int_range(pl.len()) == 0
    spoil(log, 2, probability=pl.when(first).then(float("nan")).otherwise("probability"))

    found = find(made, log)

    assert found.notes == ["1 predictions are not finite, and are left out of the performance"]
    assert found.blocks[2].estimated["log_loss"] == pytest.approx(whole.estimated["log_loss"], abs=0.01)


def test_an_alarm_of_another_bundle_is_told_though_its_folder_has_the_same_name(made, log, tell, tmp_path):
    spoil(log, 3, country=pl.lit("fr"))
    assert tell(START, command=TELL) == ["2024-06-10"]

    newer = replace(find(made, log), digest="f" * 64)

    alerting = Alerting(None, TELL, quiet=DAY, state=tmp_path / "alerts.json")
    assert send_alerts(newer, alerting, now=START) == ["2024-06-10"]
    assert send_alerts(newer, alerting, now=START) == []


@pytest.fixture
def made_of_rows(past, tmp_path):
    columns = tuple(fit_cells(past.lazy(), name, bins=8, top=10) for name in NAMES)
    blocking = Blocking("rows", ROWS)
    named = blocking.name_reference(past.lazy(), num_rows=len(past), time=None)
    profile = count_rows(named, columns, num_paired=3)
    Reference("binary", blocking, columns, {}, 3, profile, Performance({}, 0.5, None, None, {})).write(
        tmp_path / "made" / "evaluation" / "reference"
    )
    return tmp_path / "made"


def test_a_block_of_rows_is_judged_once_it_is_full_and_told_whatever_its_number(made_of_rows, log, tmp_path):
    alerting = Alerting(None, "cat", quiet=timedelta(0), state=tmp_path / "alerts.json")
    spoil(log, 2, country=pl.lit("fr"))
    whole = pl.read_parquet(log / "3.parquet")
    whole.head(150).write_parquet(log / "3.parquet")

    found = find(made_of_rows, log)

    assert [block.judged.unjudged for block in found.blocks] == [None, None, None, "not full yet: 150 of 200 rows"]
    assert send_alerts(found, alerting, now=START) == ["block 000003"]
    whole.write_parquet(log / "3.parquet")
    spoil(log, 3, country=pl.lit("fr"))
    (log / "0.parquet").unlink()  # the log keeps the newest rows
    assert send_alerts(find(made_of_rows, log), alerting, now=START) == ["block 000003"]


def test_an_alarm_that_was_not_delivered_is_told_by_the_next_call(log, tell):
    spoil(log, 3, country=pl.lit("fr"))

    with pytest.raises(TreadleError, match="ended with 3"):
        tell(START, command=f"{sys.executable} -c 'exit(3)'")
    assert tell(START, command=TELL) == ["2024-06-10"]


def test_a_webhook_gets_the_alert_as_json(log, tell):
    spoil(log, 3, country=pl.lit("fr"))
    taken = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self):
            taken.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Hook) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        tell(START, webhook=f"http://127.0.0.1:{server.server_port}/secret")
        server.shutdown()

    assert [(alert["model"], alert["bundle"]) for alert in taken] == [("shop", DIGEST)]


def test_a_webhook_that_is_away_is_named_without_its_path(log, tell):
    spoil(log, 3, country=pl.lit("fr"))

    with pytest.raises(TreadleError, match=r"the webhook at 127.0.0.1:9 did not take the alert") as caught:
        tell(START, webhook="http://127.0.0.1:9/secret")

    assert "secret" not in str(caught.value)
    with pytest.raises(TreadleError, match=r"did not take the alert: InvalidURL$"):
        tell(START, webhook="http://127.0.0.1:9/the secret")
    with pytest.raises(TreadleError, match="must be an address of http or https"):
        tell(START, webhook="file:///etc/passwd")


def drift(orders, *, week):
    """Orders of which in one week half of the outcomes have nothing to do with the inputs any more."""
    here = pl.int_range(pl.len()) // ROWS == week
    return orders.with_columns(
        late=pl.when(here & (pl.int_range(pl.len()) % 2 == 0)).then(1 - pl.col("late")).otherwise("late")
    )


@pytest.mark.slow
def test_worse_realised_performance_alarms_though_the_inputs_are_as_ever(made, log, tmp_path, capsys):
    orders = drift(make_orders(first=20, weeks=4, seed=1), week=2)
    assert give_labels(log, tmp_path, orders.select("id", "late")) == 0
    capsys.readouterr()

    code, found = read_findings(made, log, capsys)

    assert (code, found["alarm"]) == (1, True)
    assert [[alarm["kind"] for alarm in block["alarms"]] for block in found["blocks"]] == [[], [], ["performance"], []]
    (alarm,) = found["blocks"][2]["alarms"]
    share = found["blocks"][2]["realised"]["prior_share"]
    part = orders.slice(2 * ROWS, ROWS)
    assert share == pytest.approx(
        relate_to_prior(log_loss(part["late"], part["probability"]), part["late"], task="binary")
    )
    assert f"the loss is {share:.3f} of the prior's, on 20 blocks of the test split" in alarm["words"]
    assert alarm["z"] > alarm["limit"]

    assert monitor(made, log) == 1
    told = capsys.readouterr().out
    assert re.search(r"2024-06-03 +200 rows  alarm", told)
    assert "realised performance" in told
    assert monitor(made, log, "--format", "github") == 1
    assert "::error title=treadle monitor shop-1 2024-06-03::realised performance" in capsys.readouterr().out


def test_early_labels_raise_no_alarm(made, log, tmp_path, capsys):
    orders = drift(make_orders(first=20, weeks=4, seed=1), week=2)
    early = orders.with_row_index("place").filter(pl.col("place") % 10 > 0).select("id", "late")
    assert give_labels(log, tmp_path, early) == 0
    capsys.readouterr()

    code, found = read_findings(made, log, capsys)

    assert code == 0
    assert found["blocks"][2]["realised"]["maturing"] == 7


def test_without_blocks_of_the_test_split_it_is_told_that_performance_raises_no_alarm(made, log, tmp_path, capsys):
    old = tmp_path / "old"
    shutil.copytree(made / "evaluation" / "reference", old)
    values = json.loads((old / "reference.json").read_text())
    del values["performance"]["shares"]
    (old / "reference.json").write_text(json.dumps(values))
    orders = drift(make_orders(first=20, weeks=4, seed=1), week=2)
    assert give_labels(log, tmp_path, orders.select("id", "late")) == 0
    capsys.readouterr()

    code, found = read_findings(made, log, capsys, "--reference", str(old))

    assert code == 0
    assert "the test split has too few blocks" in found["notes"][0]
