"""The commands as a user types them: what they leave behind, what they print, and what bad input gets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image
from scipy import stats

from analysis.pictures import figures
from benchmarks import data, rank, speed
from benchmarks.checking import doctor
from benchmarks.scoring.store import Store
from benchmarks.truth.tables import TABLES
from tests.cases import DEAD, MIXED, SPACE

ROOT = Path(__file__).parent.parent
QUICK = ["--sample", "12", "--batch-size", "4", "--teacher", "resnet20"]
ANALYSIS = ("report", "compare", "ablate", "validate", "maps")
SCORES = "space,arch,index,proxy,seed,score,status,reason,truth"
RANKING = (
    "proxy,space,dataset,target,truth_source,n,failed,spearman,spearman_low,spearman_high,kendall,top_tenth_spearman,"
    "top_10_truth,regret,given_size,given_size_low,given_size_high"
)


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(*arguments: str) -> int:
    return rank.main([*QUICK, *arguments])


@pytest.mark.pictures
def test_a_run_leaves_scores_ranking_conditions_and_picture(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--out", "out") == 0
    printed = capsys.readouterr().out
    scores, ranking = pd.read_csv("out/scores.csv"), pd.read_csv("out/ranking.csv")
    assert ",".join(scores.columns) == SCORES
    assert ",".join(ranking.columns).startswith(RANKING)
    assert ",".join(ranking.columns).endswith("draw,init,teacher,teacher_weights,batch,batch_size,precision,seed")
    assert ranking["draw"].eq("shared").all()
    assert set(ranking["proxy"]) == {"diswot", "grad_norm", "synflow", "params", "macs"}
    assert len(scores) == 5 * 12
    assert (scores["arch"].map(SPACE.index) == scores["index"]).all()
    for proxy, rows in scores.groupby("proxy"):
        row = ranking.set_index("proxy").loc[proxy]
        expected = stats.spearmanr(rows["score"], rows["truth"]).statistic
        np.testing.assert_allclose(row["spearman"], expected)
        assert f"{expected:.3f}" in printed
    conditions = json.loads(Path("out/run.json").read_text())
    for key in ("command", "versions", "commit", "dirty", "device", "seeds", "batch", "teacher", "draw", "init"):
        assert key in conditions
    assert conditions["truth_source"] == ranking["truth_source"][0]
    assert conditions["truth_source"] in printed.replace("\n", " ")
    with Image.open("out/ranking.png") as picture:
        assert min(picture.size) > 500
    assert Path("out/ranking.pdf").read_bytes().startswith(b"%PDF")
    assert "  again: python " in printed
    assert not [path for path in Path("out").iterdir() if path.name.startswith(".")]


def test_a_picture_of_many_has_pages_and_the_first_has_what_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three, two a page, the one that --proxy names is the worst: the accuracies fall with the parameters."""
    cells = sorted(MIXED, key=lambda arch: SPACE.count(arch, 10, 32).params)
    Path("own.csv").write_text("arch,accuracy\n" + "".join(f"{arch},{90 - i}\n" for i, arch in enumerate(cells)))
    drawn: list[list[str]] = []

    def keep(pages: Iterable[Figure], folder: Path, name: str) -> None:
        drawn.extend([axis.get_title(loc="left").split()[0] for axis in page.axes if axis.axison] for page in pages)

    monkeypatch.setattr(figures, "PANELS", 2)
    monkeypatch.setattr(figures, "save_both", keep)
    wanted = ["--proxy", "params", "--baselines", "conv_edges,naswot", "--truth", "own.csv", "--sample", "all"]
    assert run(*wanted, "--out", "o") == 0
    order = pd.read_csv("o/ranking.csv")["proxy"].tolist()
    assert order[-1] == "params"
    assert drawn == [[order[0], "params"], [order[1]]]


def test_a_second_run_scores_nothing_and_prints_the_same(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run("--markdown")
    first = capsys.readouterr().out
    files = {path.name: path.read_bytes() for path in next(Path("runs").glob("diswot*")).glob("*.csv")}
    added: list[object] = []
    monkeypatch.setattr(Store, "add", lambda self, key, rows: added.extend(rows))
    run("--markdown")
    assert capsys.readouterr().out == first
    assert {path.name: path.read_bytes() for path in next(Path("runs").glob("diswot*")).glob("*.csv")} == files
    assert not added
    assert "| diswot |" in first


def test_runs_share_the_store_but_not_their_folder() -> None:
    run()
    run("--baselines", "")
    run("--proxy", "diswot_relation", "--draw", "common")
    assert len(list(Path("runs").glob("*/run.json"))) == 3
    assert Path("runs/store.sqlite").is_file()


def test_listed_candidates_seeds_and_truth(capsys: pytest.CaptureFixture[str]) -> None:
    cells = [*MIXED, DEAD[0]]
    Path("cells.txt").write_text(f"{cells[0]}  # the best\n\n{SPACE.index(cells[1])}\n" + "\n".join(cells[2:]))
    Path("own.csv").write_text("arch,distilled\n" + "".join(f"{arch},{50 + i}\n" for i, arch in enumerate(cells)))
    assert run("--archs", "cells.txt", "--truth", "own.csv", "--target", "distilled", "--seeds", "2", "--out", "o") == 0
    scores, ranking = pd.read_csv("o/scores.csv"), pd.read_csv("o/ranking.csv")
    assert list(scores["arch"][:9]) == cells
    assert list(scores["truth"][:9]) == [50.0 + i for i in range(9)]
    assert set(scores["seed"]) == {0, 1}
    row = ranking.set_index("proxy").loc["diswot"]
    rhos = [
        stats.spearmanr(rows["score"], rows["truth"]).statistic
        for _, rows in scores[scores["proxy"] == "diswot"].groupby("seed")
    ]
    np.testing.assert_allclose([row["spearman"], row["spearman_sd"]], [np.mean(rhos), np.std(rhos, ddof=1)])
    printed = capsys.readouterr().out
    assert "own.csv" in printed
    assert "±" in printed


def test_seeds_of_one_run_are_those_of_single_runs() -> None:
    run("--seeds", "2", "--out", "both")
    Path("cells.txt").write_text("\n".join(pd.read_csv("both/scores.csv")["arch"][:12]))
    run("--seed", "1", "--archs", "cells.txt", "--out", "single")
    both, single = (pd.read_csv(f"{name}/scores.csv") for name in ("both", "single"))
    assert list(both[both["seed"] == 1]["score"]) == list(single["score"])


@pytest.mark.parametrize("dataset", ["cifar100", "ImageNet16-120"])
def test_other_data_sets(local_data: Path, dataset: str) -> None:
    assert data.main(["fetch", dataset, "--source", str(local_data / "nats")]) == 0
    assert run("--dataset", dataset, "--out", "o") == 0
    assert pd.read_csv("o/ranking.csv")["truth_source"][0].startswith(f"official ({dataset}")


def test_real_images(local_data: Path) -> None:
    assert run("--batch", str(local_data / "cifar10_5k.npz"), "--sample", "3", "--out", "o") == 0
    assert json.loads(Path("o/run.json").read_text())["batch"]["source"] == "cifar10_5k.npz"


def test_options_from_a_file_and_into_one(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        rank.main(["--sample", "4", "--draw", "common", "--print_config"])
    Path("options.yaml").write_text(capsys.readouterr().out)
    assert rank.main(["--config", "options.yaml", "--batch-size", "4", "--out", "o"]) == 0
    options = json.loads(Path("o/run.json").read_text())["options"]
    assert (options["sample"], options["draw"], options["batch_size"]) == (4, "common", 4)


def test_list_names_everything(capsys: pytest.CaptureFixture[str]) -> None:
    assert rank.main(["--list"]) == 0
    printed = capsys.readouterr().out
    for name in (
        "diswot_released",
        "synflow",
        "vote(...)",
        "ranksum(...)",
        "nasbench201",
        "resnet110",
        "nasbench201-best",
        "retrained",
        "official",
    ):
        assert name in printed


@pytest.mark.parametrize(
    "command", ["benchmarks/rank", "search/evolve", *(f"analysis/{name}" for name in ANALYSIS)], ids=str
)
def test_help_needs_neither_torch_nor_pandas(command: str) -> None:
    """What --help imports is what makes it slow; how slow is measured by hand."""
    script = str(ROOT / f"{command}.py")
    code = f"""
import runpy, sys
sys.argv = [{script!r}, "--help"]
try:
    runpy.run_path({script!r}, run_name="__main__")
except SystemExit:
    print(sorted({{"torch", "pandas", "numpy", "rich"}} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.rstrip().endswith("[]")
    assert "--out" in done.stdout


OWN = '''
"""A user's own proxy."""

def mine(probe):
    """Mean logit of the first class, higher better."""
    return probe.logits[:, :, 0].double().mean(1)
'''


def test_a_users_own_proxy_and_combinations(capsys: pytest.CaptureFixture[str]) -> None:
    Path("own.py").write_text(OWN)
    wanted = "own.py:mine,vote(own.py:mine,synflow,params),ranksum(params,synflow),az_nas"
    assert run("--proxy", wanted, "--out", "o", "--sample", "6") == 0
    scores, ranking = pd.read_csv("o/scores.csv"), pd.read_csv("o/ranking.csv").set_index("proxy")
    assert {"own.py:mine", "vote(own.py:mine,synflow,params)", "ranksum(params,synflow)", "az_nas"} <= set(
        ranking.index
    )
    assert "trainability" not in ranking.index
    by_proxy = scores.pivot(index="arch", columns="proxy", values="score")
    expected = (by_proxy["params"].rank() + by_proxy["synflow"].rank()) / 6
    np.testing.assert_allclose(by_proxy["ranksum(params,synflow)"], expected)
    assert "defined for them alone" in capsys.readouterr().out.replace("\n", " ")


def test_a_name_after_a_minus_is_left_out() -> None:
    assert run("--proxy", "diswot*,-diswot_*,snip,-sni?", "--baselines", "params", "--out", "o", "--sample", "3") == 0
    assert set(pd.read_csv("o/scores.csv")["proxy"]) == {"diswot", "params"}


@pytest.mark.parametrize("options", [["--space", "s1"], ["--truth", "none"], ["--space", "s1", "--archs", "two.txt"]])
def test_without_accuracies_scores_are_written_and_that_is_said(
    options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("two.txt").write_text("0\n5\n")
    sample = [] if "--archs" in options else ["--sample", "2"]
    assert rank.main([*options, *sample, "--proxy", "params,macs", "--baselines", "", "--out", "o"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "nothing to rank against" in printed
    scores = pd.read_csv("o/scores.csv")
    assert ",".join(scores.columns) == SCORES
    assert len(scores) == 4
    assert scores["truth"].isna().all()
    assert scores["status"].eq("ok").all()
    assert json.loads(Path("o/run.json").read_text())["truth_source"] is None
    assert not Path("o/ranking.csv").exists()
    assert "written: o/scores.csv, run.json" in printed


def test_without_accuracies_the_sample_is_that_of_a_table_of_all() -> None:
    for name in ("none", "retrained"):
        assert run("--truth", name, "--proxy", "params", "--baselines", "", "--out", name) == 0
    blind, known = (pd.read_csv(f"{name}/scores.csv") for name in ("none", "retrained"))
    assert list(blind["arch"]) == list(known["arch"])


def test_a_changed_file_is_another_proxy() -> None:
    Path("own.py").write_text(OWN)
    run("--proxy", "own.py:mine", "--baselines", "", "--out", "o")
    first = pd.read_csv("o/scores.csv")["score"]
    Path("own.py").write_text(OWN.replace("0]", "1]"))
    run("--proxy", "own.py:mine", "--baselines", "", "--out", "o")
    assert (pd.read_csv("o/scores.csv")["score"] != first).all()


def test_explaining_a_proxy_with_a_slip_names_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = tmp_path / "own.py"
    own.write_text("def mine(probe):\n    'Mine.'\n    return probe.labels * nothing\n")
    assert rank.main(["--explain", f"{own}:mine"]) == 2
    said = "rank.py: error: --explain own.py:mine: NameError: name 'nothing' is not defined (own.py, line 3)"
    assert capsys.readouterr().err.strip().split("\n")[-1] == said


def test_explain_says_what_a_proxy_reads(capsys: pytest.CaptureFixture[str]) -> None:
    assert rank.main(["--explain", "diswot,grasp,synflow,vote(snip,plain)"]) == 0
    printed = capsys.readouterr().out
    assert "reads: images, teacher" in printed
    assert "a second backward pass" in printed
    assert "no images, no labels" in printed
    assert "combines: snip, plain" in printed


@pytest.mark.pictures
def test_many_candidates_are_drawn_as_densities() -> None:
    assert rank.main(["--proxy", "params", "--baselines", "", "--sample", "1500", "--out", "o"]) == 0
    with Image.open("o/ranking.png") as picture:
        colours = picture.convert("RGB").getcolors(maxcolors=1_000_000)
    assert colours is not None
    coloured = sum(count for count, (red, green, blue) in colours if max(red, green, blue) - min(red, green, blue) > 60)
    assert coloured > 500, "nothing is drawn"


def test_runs_whose_names_are_long_keep_apart() -> None:
    proxies = ",".join(
        f"diswot_{name}" for name in ("fcgrad_semantic", "gram_relation", "released", "semantic", "relation")
    )
    for teacher in ("resnet20", "resnet32"):
        rank.main(["--proxy", proxies, "--sample", "3", "--batch-size", "4", "--teacher", teacher, "--draw", "common"])
    assert len(list(Path("runs").glob("*/run.json"))) == 2


BAD = [
    (["--proxy", "diswit"], "no proxy is called 'diswit'"),
    (["--proxy", "", "--baselines", ""], "names no proxy"),
    (["--space", "nasbench101"], "no space is called 'nasbench101'; there are: nasbench201"),
    (["--dataset", "cifar11"], "no data set is called 'cifar11'; there are: cifar10, cifar100, ImageNet16-120"),
    (["--dataset", "cifar100"], "python benchmarks/data.py fetch cifar100"),
    (["--teacher", "resnet57"], "no teacher is called 'resnet57'"),
    (["--teacher-weights", "nothing.pth"], "nothing.pth"),
    (["--target", "distilled"], "no table of distilled accuracies"),
    (["--truth", "nothing.csv"], "nothing.csv: No such file"),
    (["--sample", "0"], "--sample 0: 1 to 15625"),
    (["--sample", "15626"], "--sample 15626: 1 to 15625"),
    (["--sample", "many"], "--sample many: 1 to 15625"),
    (["--archs", "nothing.txt"], "nothing.txt: No such file"),
    (["--archs", "bad.txt"], "bad.txt, line 2: '|none~0|' is no NAS-Bench-201 cell"),
    (["--archs", "twice.txt"], "twice.txt, line 3: the candidate of line 1 again"),
    (["--archs", "empty.txt"], "lists no candidates"),
    (["--batch", "nothing.npz"], "nothing.npz: No such file"),
    (["--batch", "imagenet"], "no batch is called 'imagenet'"),
    (["--batch-size", "0"], "--batch-size 0: 2 is the least"),
    (["--seed", "99999999999999999999"], "2147483648 the most"),
    (["--config", "null.yaml"], "--seed: None is not allowed"),
    (["--proxy", "vote(synflow)"], "two proxies at least"),
    (["--proxy", "vote(synflow,params"], "a bracket is open"),
    (["--proxy", "mean(synflow,params)"], "no combination is called 'mean'"),
    (["--proxy", "nothing.py:mine"], "nothing.py:mine: No such file"),
    (["--proxy", "own.py:theirs"], "has no 'theirs'"),
    (["--proxy", "broken.py:mine"], "the file does not run (SyntaxError"),
    (["--explain", "nothing"], "no proxy is called 'nothing'"),
    (["--batch-size", "x"], "error: --batch-size x: a whole number is expected (see"),
    (["--teacher-resolution", "x"], "error: --teacher-resolution x: a whole number is expected (see"),
    (["--config", "year.yaml"], "error: --out 2024: a text in quotes is expected"),
    (["--config", "list.yaml"], "error: --proxy ['params', 'macs']: a text with commas or blanks is expected"),
    (["--truth", "semicolons.csv"], "--truth semicolons.csv: its fields stand between semicolons; between commas"),
    (["--config", "several.yaml"], "Expected a <class 'str'>"),
    (["--batch", "."], "--batch .: a folder"),
    (["--archs", "nothing.txt"], "--archs nothing.txt: No such file"),
    (
        ["--target", "gain"],
        "there is no table of gain accuracies for nasbench201 on cifar10; there are --truth trial, distilled",
    ),
    (["--draw", "own"], "error: --draw own: there are independent, common, shared (see"),
    (["--config", "draw.yaml"], "error: --draw own: there are independent, common, shared (see"),
    (["--seed", "-1"], "--seed -1: 0 is the least"),
    (["--seeds", "0"], "--seeds 0: 1 is the least"),
    (["--stack", "0"], "--stack 0: auto, or a number from 1"),
    (["--device", "tpu"], "no device is called 'tpu'"),
    (["--device", "cuda:7"], "CUDA devices"),
    (["--out", "empty.txt"], "--out empty.txt: can't be written"),
    (["--out", "empty.txt/deeper"], "can't be written"),
    (["--store", "bad.txt"], "bad.txt: no store"),
    (["--nonsense"], "nrecognized arguments: --nonsense"),
    (["--config", "nothing.yaml"], "nothing.yaml"),
    (["--proxy", "DisWOT"], "no proxy is called 'DisWOT'; did you mean diswot?"),
    (["--proxy", "params,-sinflow"], "did you mean synflow?"),
    (["--proxy", "params,-params", "--baselines", ""], "names no proxy"),
    (["--proxy", "own.py"], "--proxy own.py: write own.py:NAME; it has the function mine"),
    (["--proxy", "own.py:theirs"], "the file has no 'theirs'; it has the function mine"),
    (["--proxy", "broken.py"], "write broken.py:NAME; it is no Python"),
    (["--space", "own.py"], "--space own.py: write own.py:NAME; it has no class or dict"),
    (["--space", "NASBench-201"], "did you mean nasbench201?"),
    (["--teacher", "ResNet-56"], "did you mean resnet56?"),
    (["--dataset", "CIFAR-100"], "did you mean cifar100?"),
    (["--dataset", "cifar10-valid"], "--dataset cifar10 --truth nasbench201:x-valid"),
    (["--batch", "CIFAR10"], "did you mean cifar10?"),
    (["--target", "destilled"], "did you mean distilled?"),
    (["--truth", "Retrained"], "did you mean retrained?"),
    (
        ["--truth", "fractions.csv"],
        "no accuracy above 1 in accuracy: are these fractions? Accuracies are read in percent",
    ),
    (["--batchsize", "4"], "nrecognized arguments: --batchsize 4; did you mean --batch-size?"),
    (["--bs", "4"], "did you mean --batch-size?"),
]


@pytest.mark.parametrize(
    ("arguments", "message"), BAD, ids=lambda value: " ".join(value) if type(value) is list else ""
)
def test_bad_input_is_one_line_and_code_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("bad.txt").write_text("13714\n|none~0|\n")
    Path("twice.txt").write_text(f"13714\n5\n{SPACE.arch(13714)}\n")
    Path("empty.txt").write_text("\n# nothing\n")
    Path("null.yaml").write_text("seed: null\n")
    Path("draw.yaml").write_text("draw: own\n")
    Path("year.yaml").write_text("out: 2024\n")
    Path("list.yaml").write_text("proxy: [params, macs]\n")
    Path("semicolons.csv").write_text("arch;accuracy\n111;60\n")
    Path("several.yaml").write_text("sample: [1]\n")
    Path("own.py").write_text(OWN)
    Path("broken.py").write_text("def mine(:")
    Path("fractions.csv").write_text("index,accuracy\n1,0.5\n2,0.934\n3,1.0\n")
    try:
        code = run(*arguments)
    except SystemExit as end:
        code = end.code  # type: ignore[assignment]
    captured = capsys.readouterr()
    lines = [line for line in captured.err.splitlines() if "scoring" not in line and line.strip()]
    assert code == 2
    assert len(lines) == 1
    assert lines[0].startswith("rank.py: error: ")
    assert message in lines[0]
    assert captured.out == ""


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("misspelt", "AttributeError: 'Probe' object has no attribute 'logitz' (slips.py, line 2)"),
        ("a_number", "TypeError: proxy 'slips.py:a_number' returned a float; a tensor (1,) is wanted"),
        ("of_nothing", "TypeError: of_nothing() takes 0 positional arguments but 1 was given"),
    ],
)
def test_a_slip_in_a_function_of_a_users_own_ends_the_run_with_its_line(
    name: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    body = (
        "def misspelt(probe):\n    return probe.logitz\ndef a_number(probe):\n    return 1.0\ndef of_nothing(): ...\n"
    )
    Path("slips.py").write_text(body)
    assert run("--proxy", f"slips.py:{name}", "--baselines", "params", "--workers", "2") == 2
    assert f"rank.py: error: --proxy slips.py:{name}: {message}" in capsys.readouterr().err.splitlines()


def test_a_truth_of_few_cells_limits_the_sample(capsys: pytest.CaptureFixture[str]) -> None:
    Path("own.csv").write_text("index,accuracy\n1,50\n2,60\n3,70\n")
    assert run("--truth", "own.csv", "--sample", "4") == 2
    assert "--sample 4: 1 to 3" in capsys.readouterr().err
    Path("cells.txt").write_text("1\n4\n")
    assert run("--truth", "own.csv", "--archs", "cells.txt") == 2
    assert "line 2: the truth (own.csv" in capsys.readouterr().err
    assert run("--truth", "own.csv", "--sample", "all", "--out", "o") == 0
    assert len(pd.read_csv("o/scores.csv")) == 15


def test_an_interrupted_run_says_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("benchmarks.scoring.scorer.Scorer.rows", interrupted)
    assert run() == 130
    assert "the same command goes on from there" in capsys.readouterr().err


def test_speed_shares_the_classic_measures(capsys: pytest.CaptureFixture[str]) -> None:
    assert speed.main(["--cells", "1", "--repeats", "1", "--batch-size", "2", "--classic"]) == 0
    assert "together / one by one (channels_last): " in capsys.readouterr().out


def test_speed_compares_training_with_a_bare_loop_and_with_stacks(capsys: pytest.CaptureFixture[str]) -> None:
    few = ["--cells", "2", "--repeats", "1", "--batch-size", "8", "--stacks", "1,2"]
    assert speed.main(["--train", *few, "--json", "pace.json"]) == 0
    assert "x bare, channels_last" in capsys.readouterr().out
    seconds = json.loads(Path("pace.json").read_text())["seconds_per_step"]
    assert set(seconds) == {"ours", "bare loop, default layout", "bare loop, channels_last", "stack of 2"}
    assert speed.main(["--train", *few, "--stacks", "4"]) == 2
    assert "--stacks 4: --cells 2 are fewer" in capsys.readouterr().err


def test_speed_compares_training_of_modules_with_a_bare_loop(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("benchmarks.timing.module_training_run.NETWORKS", ("pit:0",))
    few = ["--repeats", "1", "--batch-size", "2", "--json", "pace.json"]
    assert speed.main(["--train", "--module", *few]) == 0
    assert "x bare loop" in capsys.readouterr().out
    seconds = json.loads(Path("pace.json").read_text())["seconds_per_step"]
    bare = ["bare loop", "bare loop, torchvision's crops"]
    assert list(seconds["pit:0"]) == [*bare, "ours", "ours, watched"]
    assert speed.main(["--train", "--search", *few]) == 2
    assert "--train and --search: one at a time" in capsys.readouterr().err


def test_speed_prints_ratios(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "--cells",
        "1",
        "--repeats",
        "1",
        "--batch-size",
        "4",
        "--proxy",
        "diswot,grad_norm",
        "--json",
        "s.json",
    ]
    assert speed.main(arguments) == 0
    printed = capsys.readouterr().out
    assert "plain forward+backward, channels_last" in printed
    assert set(json.loads(Path("s.json").read_text())["seconds_per_cell"]) >= {"diswot", "grad_norm", "all 2 together"}


def test_data_lists_and_refuses(capsys: pytest.CaptureFixture[str]) -> None:
    assert data.main(["list"]) == 0
    printed = capsys.readouterr().out
    assert "analog-nasbench" in printed
    for name, table in TABLES.items():
        rows = [line.split()[1:3] for line in printed.splitlines() if line.split()[:1] == [name]]
        assert rows == [[space, dataset] for space in table.spaces for dataset in table.datasets]
    assert data.main(["fetch", "cifar11"]) == 2
    assert "cifar10, cifar100, ImageNet16-120" in capsys.readouterr().err


def test_every_table_of_the_project_is_verified(capsys: pytest.CaptureFixture[str]) -> None:
    found = [one for one in doctor.tables() if one.sound is not None]
    counted = {name: len(table.spaces) * len(table.datasets) for name, table in TABLES.items() if name != "official"}
    assert all(one.sound for one in found)
    assert Counter(one.what.split()[0] for one in found) == counted  # official tables are fetched


def test_the_documented_variable_is_the_one_the_code_reads() -> None:
    from benchmarks.conditions.batches import DATA_VARIABLE

    assert DATA_VARIABLE in (ROOT / "docs" / "rank.md").read_text()
    assert os.environ.get(DATA_VARIABLE) is None or Path(os.environ[DATA_VARIABLE]).is_dir()


def test_speed_shows_how_scoring_grows(capsys: pytest.CaptureFixture[str]) -> None:
    few = [
        "--cells",
        "2",
        "--repeats",
        "1",
        "--batch-size",
        "4",
        "--stacks",
        "1,2",
        "--numbers",
        "10",
        "--workers",
        "1,2",
    ]
    assert speed.main(["--scale", *few, "--proxy", "diswot_relation,params", "--json", "scale.json"]) == 0
    found = json.loads(Path("scale.json").read_text())
    assert set(found["seconds_per_candidate"]) >= {"diswot_relation", "plain forward, default layout"}
    assert set(found["candidates_per_second"]) == {"1", "2"}
    assert found["bytes"][0] < found["bytes"][1]
    assert "floor" in capsys.readouterr().out
    for wrong in (
        ["--train"],
        ["--classic", "--proxy", "params"],
        ["--json", "."],
        ["--stacks", "0"],
        ["--stacks", "64"],
        ["--workers", "two"],
    ):
        assert speed.main(["--scale", "--cells", "2", *wrong]) == 2
        assert wrong[0] in capsys.readouterr().err


def test_what_an_error_quotes_neither_floods_nor_commands_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.csv"
    for header in ("a" * 5000, "\x1b[2J\u202e", ",".join(map(str, range(9999)))):
        path.write_text(f"{header}\n1\n")
        assert rank.main(["--truth", str(path)]) == 2
        printed = capsys.readouterr().err
        assert printed.startswith(f"rank.py: error: --truth {path}: no column arch or index; it has: ")
        assert printed.endswith("\n")
        assert printed[:-1].isprintable()
        assert len(printed) < 1100


def test_what_is_typed_has_to_be_text(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        rank.main(["--truth", "\udcff.csv"])
    assert capsys.readouterr().err == "rank.py: error: \\udcff.csv: no UTF-8 text (see --help)\n"
