"""Accuracy tables: the embedded one, the fetched one, and a user's own with all that can be wrong with it."""

from __future__ import annotations

import functools
import io
import json
import pickle
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from torch import nn

from analysis.rows import tables
from analysis.stats.ranking import top_tenth_spearman
from benchmarks import spaces, truth
from benchmarks.scoretables import archive, joining
from benchmarks.scoretables.recalling import SHIPPED
from benchmarks.spaces.modules import Listed
from benchmarks.truth import accuracies, embedded, official, ownfile
from benchmarks.truth.trained import trained
from docs import distilled
from search.distillation.protocol import stratified, trainings
from tests.cases import MIXED, SPACE

CELL = SPACE.arch(0)


def test_the_embedded_table_covers_the_space() -> None:
    table = truth.load("auto", SPACE, "cifar10", "vanilla")
    assert table == truth.load("retrained", SPACE, "cifar10", "vanilla")
    assert len(table.accuracy) == 15_625
    assert table.accuracy[SPACE.from_tuple((0, 0, 0, 0, 0, 0))] == 60.7836
    assert "analog-nasbench" in table.source
    assert min(table.accuracy.values()) == 10


def test_the_unpickler_admits_two_classes_and_runs_nothing() -> None:
    hostile = pickle.dumps(open)  # not print: Ray puts its own in its place
    with pytest.raises(pickle.UnpicklingError, match=r"io.open is not admitted"):
        embedded._TwoClassesOnly(io.BytesIO(hostile)).load()


@pytest.mark.parametrize(
    ("name", "dataset", "target", "message"),
    [
        ("auto", "cifar100", "vanilla", r"data\.py fetch cifar100"),
        ("official", "ImageNet16-120", "vanilla", r"data\.py fetch ImageNet16-120"),
        ("retrained", "cifar100", "vanilla", "is NAS-Bench-201, cifar10, vanilla.*on cifar100: official"),
        ("auto", "cifar10", "distilled", r"no table of distilled.*--truth FILE\.csv"),
        ("auto", "cifar10", "best", "vanilla, distilled, gain"),
        ("published", "cifar10", "vanilla", "on cifar10: retrained, official"),
        ("auto", "cifar10", "gain", r"no table of gain.*vanilla and distilled"),
        ("nosuch", "cifar10", "vanilla", "nosuch: No such file"),
        ("PATH", "cifar10", "vanilla", "PATH: No such file"),
    ],
)
def test_tables_that_are_not_there_say_how_to_get_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, dataset: str, target: str, message: str
) -> None:
    monkeypatch.setenv("DISWOT_CACHE", str(tmp_path))
    with pytest.raises(ValueError, match=message):
        truth.load(name, SPACE, dataset, target)


def test_what_two_tables_say_of_each_other_is_what_their_ceilings_say(local_data: Path) -> None:
    official.fetch("cifar10", str(local_data / "nats"))
    one, other = embedded.retrained(), official.read("cifar10")
    again, means = ([table.accuracy[arch] for arch in one.accuracy] for table in (one, other))
    assert f"{top_tenth_spearman(np.array(means), np.array(again)):.2f}" == str(accuracies.OFFICIAL_OF_RETRAINED)
    assert f"{top_tenth_spearman(np.array(again), np.array(means)):.2f}" == str(accuracies.RETRAINED_OF_OFFICIAL)
    assert str(accuracies.OFFICIAL_OF_RETRAINED) in str(one.ceiling)
    assert str(accuracies.RETRAINED_OF_OFFICIAL) in str(other.ceiling)


def cells_of_a_function(accuracy: dict[str, float]) -> float:
    """Deviation among cells that compute one function, each trained by itself, above the lowest tenth of all cells."""
    table = pd.DataFrame({"accuracy": accuracy, "function": {arch: SPACE.function_class(arch) for arch in accuracy}})
    groups = table.groupby("function")["accuracy"].agg(["count", "mean", "var"])
    chosen = groups[(groups["count"] > 1) & (groups["mean"] > table["accuracy"].quantile(0.1))]
    freedom = chosen["count"] - 1
    return float(np.sqrt((chosen["var"] * freedom).sum() / freedom.sum()))


def test_the_noise_of_a_table_is_that_of_cells_of_one_function(local_data: Path) -> None:
    assert embedded.retrained().noise == round(cells_of_a_function(embedded.retrained().accuracy), 2)
    for dataset in official.SHA256:
        official.fetch(dataset, str(local_data / "nats"))
        found = official.read(dataset)
        assert found.noise == round(cells_of_a_function(found.accuracy), 2), dataset


@pytest.mark.parametrize("target", ["vanilla", "distilled", "gain"])
def test_the_noise_of_s0_is_what_depths_and_their_pairs_leave(target: str) -> None:
    """A factorial fit: 64 networks, 37 coefficients, 27 degrees of freedom left."""
    found = embedded.published(target)
    stages = [np.array([[arch[stage] == depth for depth in "357"] for arch in found.accuracy]) for stage in range(3)]
    pairs = [(stages[i][:, :, None] * stages[j][:, None]).reshape(64, -1) for i, j in ((0, 1), (0, 2), (1, 2))]
    design = np.column_stack([np.ones(64), *stages, *pairs]).astype(float)
    accuracy = np.array(list(found.accuracy.values()))
    left = accuracy - design @ np.linalg.lstsq(design, accuracy, rcond=None)[0]
    assert found.noise == round(np.sqrt(left @ left / (64 - design.shape[1])), 2)


def test_equal_gains_are_equal() -> None:
    """61.88 - 60.00 and 70.13 - 68.25 differ in floating point; the table has two decimals, and so have its gains."""
    gains = list(embedded.published("gain").accuracy.values())
    assert len(set(gains)) == len({f"{gain:.2f}" for gain in gains}) == 54


def test_the_noise_of_the_trial_is_pooled_over_its_cells() -> None:
    """Variances between two seeds are averaged, not deviations; a mean of two has half of it."""
    table = pd.read_csv(embedded.TRIAL)
    noise = {target: truth.load("trial", SPACE, "cifar10", target).noise for target in truth.TARGETS}
    ways = {way: (table[f"{way} seed 0"] - table[f"{way} seed 1"]).to_numpy() for way in ("ce", "kd")}
    halves = {"vanilla": ways["ce"], "distilled": ways["kd"], "gain": ways["kd"] - ways["ce"]}
    for target, between in halves.items():
        assert noise[target] == pytest.approx(np.sqrt((between**2).mean() / 4))
    np.testing.assert_allclose(table[["ce seed 0", "ce seed 1"]].mean(axis=1), table["vanilla"], atol=1e-3)


def test_the_facts_of_the_trial_are_those_of_its_table() -> None:
    """The mean gain by hand, and what is committed; its page is held against that."""
    found, table = distilled.facts(embedded.TRIAL), pd.read_csv(embedded.TRIAL)
    pd.testing.assert_frame_equal(found, pd.read_csv(distilled.OUT / "8x8" / "facts.csv"), rtol=1e-6)
    assert found.set_index("fact")["value"]["kd over ce"] == pytest.approx(
        (table["distilled"] - table["vanilla"]).mean()
    )


def test_the_answers_of_the_larger_table_are_spearman_of_its_accuracies_and_the_shipped_scores() -> None:
    """By scipy, from the CSV and the scores of the whole space; and its facts are those that are committed."""
    folder, table = distilled.OUT / "16x16", pd.read_csv(embedded.DISTILLED, na_values=["n/a"])
    facts = pd.concat([distilled.facts(embedded.DISTILLED), distilled.resolutions()], ignore_index=True)
    pd.testing.assert_frame_equal(facts, pd.read_csv(folder / "facts.csv"), rtol=1e-6)
    scores = archive.read(SHIPPED / "nasbench201-cifar10.npz")
    places = [scores.places[SPACE.index(arch)] for arch in table["arch"]]
    rows = pd.read_csv(folder / "answers.csv", na_values=["n/a"]).query("teacher == 'resnet56, random'")
    ends = table["arch"].map(truth.load("retrained", SPACE, "cifar10", "vanilla").accuracy)
    targets = {"vanilla": table["ce"], "distilled": table["kd"], "32x32": ends}
    targets["gain"] = (table["kd"] - table["ce"]).round(6)  # equal counts of images are equal gains
    for target, accuracy in targets.items():
        for proxy in ("diswot", "synflow", "params"):
            (row,) = rows[rows["target"].eq(target) & rows["proxy"].eq(proxy)].to_dict("records")
            expected = stats.spearmanr(scores.columns[proxy].scores[0, places], accuracy).statistic
            assert row["spearman"] == pytest.approx(expected), (target, proxy)


def test_what_a_teachers_training_adds_is_said_in_whatever_order_teachers_come() -> None:
    question = distilled.Question("gain", "nasbench201", "cifar10", "gain", "distilled")
    known = {name: joining.joined([archive.read(path) for path in paths]) for name, paths in distilled.TEACHERS.items()}
    tables = {
        name: table.of([key for key in ("diswot", "kd") if key in table.columns]) for name, table in known.items()
    }
    asked = [
        pd.DataFrame(distilled.of_question(question, dict(order)))
        for order in (tables.items(), [*tables.items()][::-1])
    ]
    ahead, back = (rows.sort_values(["teacher", "proxy"], ignore_index=True) for rows in asked)
    pd.testing.assert_frame_equal(ahead, back[ahead.columns])
    assert ahead.groupby("teacher")["over_random"].count().to_dict() == {
        **{distilled.USUAL: 0, distilled.RANDOM: 0},
        distilled.TAUGHT: 2,
    }


def test_facts_of_a_table_whose_cells_were_trained_once_or_twice(tmp_path: Path) -> None:
    """The noise is that of the cells with two seeds, and larger for a cell that has one."""
    table = pd.read_csv(embedded.TRIAL)
    table.loc[10:, ["ce seed 1", "kd seed 1"]] = np.nan
    table[["ce", "kd"]] = [
        [table.loc[row, [f"{way} seed {seed}" for seed in (0, 1)]].mean() for way in ("ce", "kd")]
        for row in table.index
    ]
    table.drop(columns=[name for name in table if name.startswith("diswot")]).to_csv(tmp_path / "t.csv", index=False)
    found = distilled.facts(tmp_path / "t.csv").set_index("fact")["value"]
    assert found["cells with two seeds"] == 10
    gain = table[["kd seed 0", "kd seed 1"]].to_numpy() - table[["ce seed 0", "ce seed 1"]].to_numpy()
    variance = gain[:10].var(axis=1, ddof=1).mean()
    assert found["gain: sd of seeds"] == pytest.approx(variance**0.5)
    noise = variance * (10 / 2 + 14) / 24
    assert found["gain: reliability of all"] == pytest.approx(1 - noise / (table["kd"] - table["ce"]).var())


@pytest.mark.parametrize(
    ("dataset", "rho", "best"),
    [("cifar10", 0.991, 94.37), ("cifar100", 0.980, 73.51), ("ImageNet16-120", 0.963, 47.31)],
)
def test_official_tables(local_data: Path, dataset: str, rho: float, best: float) -> None:
    path = official.fetch(dataset, str(local_data / "nats"))
    assert official.fetch(dataset, str(local_data / "nats" / dataset / "accuracies.csv")) == path
    theirs, ours = truth.load("official", SPACE, dataset, "vanilla"), embedded.retrained()
    assert len(theirs.accuracy) == 15_625
    assert round(max(theirs.accuracy.values()), 2) == best
    values = [(theirs.accuracy[arch], ours.accuracy[arch]) for arch in theirs.accuracy]
    assert round(stats.spearmanr(*zip(*values, strict=True)).statistic, 3) == rho


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    folder = tmp_path / "served"
    folder.mkdir()
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(folder))
    made = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{made.server_port}", folder
    made.shutdown()


def test_tables_come_from_another_address(
    local_data: Path, server: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISWOT_CACHE", str(tmp_path / "cache"))
    address, folder = server
    (folder / "table.csv").write_bytes((local_data / "nats" / "cifar100" / "accuracies.csv").read_bytes())
    assert official.fetch("cifar100", f"{address}/table.csv").is_file()
    with pytest.raises(ValueError, match="can't be fetched"):
        official.fetch("cifar10", f"{address}/nothing.csv")


def test_another_file_is_refused_and_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISWOT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "wrong.csv").write_text("index,accuracy\n0,1\n")
    with pytest.raises(ValueError, match="checksum"):
        official.fetch("cifar10", str(tmp_path / "wrong.csv"))
    assert list((tmp_path / "cache").iterdir()) == []
    with pytest.raises(ValueError, match="no such file"):
        official.fetch("cifar10", str(tmp_path / "nothing"))
    with pytest.raises(ValueError, match="cifar100, ImageNet16-120"):
        official.fetch("svhn")


def test_a_fetched_table_that_was_changed_is_refused(
    local_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISWOT_CACHE", str(tmp_path))
    path = official.fetch("cifar10", str(local_data / "nats"))
    path.write_bytes(path.read_bytes().replace(b"85.86", b"95.86"))
    with pytest.raises(ValueError, match="checksum differs"):
        official.read("cifar10")


def own(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "own.csv"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "target"),
    [
        (f"arch,accuracy\n{CELL},70.5\n{MIXED[0]},80\n", "vanilla"),
        (f"index,accuracy\n0,70.5\n{SPACE.index(MIXED[0])},80\n", "vanilla"),
        (f"note,vanilla,arch,distilled\nx,1,{CELL},70.5\n\ny,2,{MIXED[0]},8e1\n", "distilled"),
        (f"\ufeffarch , vanilla\n{CELL}, 70.5\n{MIXED[0]},80\n", "vanilla"),
    ],
)
def test_a_users_table(tmp_path: Path, text: str, target: str) -> None:
    table = truth.load(str(own(tmp_path, text)), SPACE, "cifar10", target)
    assert table.accuracy == {CELL: 70.5, MIXED[0]: 80.0}
    assert table.source.startswith("own.csv")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no column arch or index; it has: nothing"),
        ("cell,accuracy\n0,1\n", "no column arch or index"),
        ("arch,distilled\n0,1\n", "no column vanilla or accuracy"),
        ("arch,accuracy\n", "no rows"),
        ("index,accuracy\n0,1\n0,2\n", "line 3: '0' stands there twice"),
        (f"arch,accuracy\n0,1\n{CELL},2\n", "line 3.*twice"),
        ("index,accuracy\n20000,1\n", "line 2: cell index 20000"),
        ("arch,accuracy\nfoo,1\n", "line 2: 'foo' is no NAS-Bench-201 cell"),
        ("index,accuracy\n0,good\n", "line 2, column accuracy: 'good' is no number"),
        ("index,accuracy\n0,\n", "'' is no number"),
        ("index,accuracy\n0,nan\n", "'nan' is no number"),
        ("index,accuracy\n0,inf\n", "line 2, column accuracy: 'inf' is no number of percent, 0 to 100"),
        ("index,accuracy\n0,-Infinity\n", "'-Infinity' is no number of percent"),
        ("index,accuracy\n0,1,2\n", "3 fields under 2 columns"),
        ("index,accuracy\n0\n", "1 fields under 2"),
        ('index,accuracy\n"0,1\n', "no CSV table"),
        ("index,accuracy\n0,1e308\n", "0 to 100"),
        ("index,accuracy\n0,-1\n", "0 to 100"),
        ("index,accuracy\n0,5_0\n", "0 to 100"),
        ("index,accuracy\n0,٥٠\n", "0 to 100"),
        ("index,accuracy\n0,1\n\n\n0,1\n", "line 5"),
        ("index,accuracy,accuracy\n0,1,2\n", "a column stands there twice"),
        (f"arch,index,accuracy\n{CELL},1,50\n", "name different candidates"),
        ("index,accuracy\n²,1\n", "'²' is no index, a whole number from 0 to 15624"),
    ],
)
def test_a_users_table_that_is_wrong_is_refused_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ownfile.from_csv(own(tmp_path, text), SPACE, "vanilla")


def test_distilled_accuracies_need_no_vanilla_ones(tmp_path: Path) -> None:
    path = own(tmp_path, f"arch,vanilla,distilled\n{CELL},60,70\n{MIXED[0]},,71\n{MIXED[1]},n/a,72\n")
    table = ownfile.from_csv(path, SPACE, "distilled")
    assert table.accuracy == {CELL: 70, MIXED[0]: 71, MIXED[1]: 72}
    assert table.vanilla == {CELL: 60}
    with pytest.raises(ValueError, match="line 3, column vanilla: '' is no number of percent"):
        ownfile.from_csv(path, SPACE, "gain")


def test_one_column_of_accuracies_is_vanilla_and_no_other_target(tmp_path: Path) -> None:
    path = own(tmp_path, f"arch,accuracy\n{CELL},60\n")
    assert ownfile.from_csv(path, SPACE, "vanilla").accuracy == {CELL: 60}
    says = r"own\.csv: no column {}; it has: arch, accuracy; a column accuracy holds vanilla ones$"
    for target, lacks in (("distilled", "distilled"), ("gain", "vanilla")):
        with pytest.raises(ValueError, match=says.format(lacks)):
            ownfile.from_csv(path, SPACE, target)


def test_rows_of_other_spaces_are_not_taken(tmp_path: Path) -> None:
    """The codes of s0 and s1 are alike, and distill.py writes both into one table."""
    path = own(tmp_path, "space,arch,accuracy\ns1,111,60\ns0,111,61\ns1,113,62\n")
    assert ownfile.from_csv(path, spaces.find("s0"), "vanilla").accuracy == {"111": 61}
    with pytest.raises(ValueError, match=r"own\.csv: no rows of nasbench201; its column space has: s1, s0$"):
        ownfile.from_csv(path, SPACE, "vanilla")
    own_words = own(tmp_path, "arch,accuracy,space\n111,60,small\n113,61,large\n")  # of something else
    assert len(ownfile.from_csv(own_words, spaces.find("s0"), "vanilla").accuracy) == 2
    listed = Listed({"111": nn.Identity, "113": nn.Identity})
    path = own(tmp_path, "space,arch,accuracy\ngiven,111,60\ngiven,113,61\n")
    assert len(ownfile.from_csv(path, listed, "vanilla").accuracy) == 2


def test_a_binary_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    path.write_bytes(bytes(range(256)))
    with pytest.raises(ValueError, match="no CSV table"):
        ownfile.from_csv(path, SPACE, "vanilla")


def test_the_trial_is_there_by_name_and_auto_never_takes_it() -> None:
    vanilla, distilled, gain = (truth.load("trial", SPACE, "cifar10", target) for target in truth.TARGETS)
    assert gain.accuracy == pytest.approx(
        {arch: distilled.accuracy[arch] - vanilla.accuracy[arch] for arch in gain.accuracy}
    )
    assert truth.load("auto", SPACE, "cifar10", "vanilla").source.startswith("retrained")
    cells = stratified(24, 0, best=5, disconnected=3)
    assert list(vanilla.accuracy) == cells, "the cells are those of the protocol"
    assert sum(not SPACE.connected(arch) for arch in cells) == 3


def test_a_name_that_commands_the_terminal_is_not_printed_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "\x1b[2J\n.csv"
    path.write_text("index,accuracy\n0,50\n")
    assert ownfile.from_csv(path, SPACE, "vanilla").source.startswith(r"\x1b[2J .csv (column accuracy")


def trained_table(folder: Path, cells: int, twice: int) -> Path:
    """A made-up table as `distill.py --done --table` writes it: the first cells have a second seed."""
    random, path = np.random.default_rng(0), folder / "made.csv"
    rows = []
    for number in range(cells):
        values = {f"{way} seed {seed}": 30 + number + random.normal() for way in ("ce", "kd") for seed in (0, 1)}
        if number >= twice:
            values |= {"ce seed 1": np.nan, "kd seed 1": np.nan}
        means = {way: np.nanmean([values[f"{way} seed {seed}"] for seed in (0, 1)]) for way in ("ce", "kd")}
        rows.append({"arch": SPACE.arch(number), "vanilla": means["ce"], "distilled": means["kd"], **values})
    tables.write_csv(pd.DataFrame(rows), path)
    columns = {"vanilla": "ce", "distilled": "kd"}
    path.with_suffix(".json").write_text(json.dumps({"summary": "made up", "columns": columns}))
    return path


def test_the_noise_of_a_trained_table_is_between_seeds_and_of_its_means(tmp_path: Path) -> None:
    path = trained_table(tmp_path, 40, 10)
    made = pd.read_csv(path, na_values=["n/a"])
    for target, of in (("vanilla", made["ce seed 0"] - made["ce seed 1"]), ("gain", None)):
        found = trained("mine", path, SPACE, target)
        if of is None:
            of = (made["kd seed 0"] - made["ce seed 0"]) - (made["kd seed 1"] - made["ce seed 1"])
        assert found.noise == pytest.approx(np.sqrt((of.dropna() ** 2 / 2).mean() * (10 / 2 + 30) / 40))
        assert found.source == f"mine ({target}; made up)"
        assert found.noise_from == "10 of 40 candidates were trained with several seeds"
    assert found.ceiling is not None
    assert "over 10 candidates" in found.ceiling
    assert trained("mine", path, SPACE, "distilled").vanilla.keys() == found.accuracy.keys()


def test_a_candidate_without_a_seed_in_common_does_not_count_for_the_noise(tmp_path: Path) -> None:
    path = trained_table(tmp_path, 40, 10)
    made = pd.read_csv(path, na_values=["n/a"])
    made.loc[39, ["kd seed 0", "ce seed 1"]] = np.nan
    made["kd seed 1"] = made["kd seed 1"].fillna(made["distilled"].where(made.index == 39))
    tables.write_csv(made, path)
    noise = trained("mine", path, SPACE, "gain").noise
    assert noise is not None
    assert 0 < noise < 100


def test_of_few_second_seeds_nothing_is_said(tmp_path: Path) -> None:
    found = trained("mine", trained_table(tmp_path, 12, 7), SPACE, "distilled")
    assert (found.noise, found.ceiling) == (None, None)
    assert len(found.accuracy) == 12


def test_the_distilled_table_is_there_by_name_once_it_is_measured() -> None:
    assert ("distilled" in truth.TRUTHS) == embedded.DISTILLED.exists()
    listed = pd.read_csv(embedded.DISTILLED.with_name(f"{embedded.DISTILLED.stem}-cells.csv"))
    pd.testing.assert_frame_equal(listed, trainings(96, 32, 0), check_dtype=False)
    assert listed["training_seed"].value_counts().to_dict() == {0: 96, 1: 32}
    again = set(listed["arch"][listed["training_seed"] == 1])
    assert again <= set(listed["arch"][listed["training_seed"] == 0])
    assert all(map(SPACE.connected, again))
    if embedded.DISTILLED.exists():
        assert truth.load("distilled", SPACE, "cifar10", "gain").accuracy.keys() <= set(listed["arch"])
