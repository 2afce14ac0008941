"""`jaxvae report`: one page, and all of it on the page."""

import base64
import html.parser
import json
import pathlib
import re
import shlex
import shutil

import numpy as np
import pytest

from jaxvae.cli import main
from jaxvae.cli.main import _parse
from jaxvae.presets import load_preset
from jaxvae.report import tables
from jaxvae.runs import Run, load_run
from tests.test_cli import SMALL, run_main


class Page(html.parser.HTMLParser):
    """The words of a page, its rows, and what it would load."""

    def __init__(self, text):
        super().__init__()
        self.words, self.sources, self.open = "", [], []
        self.rows = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.sources += [value for name, value in attributes if name in ("src", "href")]
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag not in ("img", "meta"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words += data
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data

    def row(self, name):
        return next(row[1:] for row in self.rows if row[0].startswith(name))


def train(directory, *arguments):
    main([str(argument) for argument in ("train", *arguments, "--run-dir", directory, "--json")])
    return directory


@pytest.fixture(scope="module")
def runs(tmp_path_factory, idx_directory):
    """Two seeds of a model with two latents, and one that is stopped after a step."""
    directory = tmp_path_factory.mktemp("runs")
    arguments = ["--data-dir", idx_directory, "--steps", 20, *SMALL, "--model.latent-dim", 2]
    train(directory / "a", *arguments)
    train(directory / "b", *arguments, "--seed", 1)
    train(directory / "stopped", *arguments, "--max-minutes", 1e-6)
    return directory


def report(capsys, *arguments):
    capsys.readouterr()
    code, out, err = run_main(capsys, "report", *arguments)
    assert code == 0, err
    return Page(pathlib.Path(out.strip()).read_text())


def test_the_page_of_a_run_has_its_numbers_its_pictures_and_nothing_to_load(runs, capsys):
    page = report(capsys, runs / "a")
    test = json.loads((runs / "a" / "results.json").read_text())["test"]
    error = test["log_p_x_standard_error"]
    assert page.row("log p(x)") == [f"{test['log_p_x']:.2f} ± {error:.2f}"]
    assert page.row("num samples") == ["7"]
    assert page.row("--batch-size") == ["10"]
    assert "20 of 20 steps. jaxvae train mnist-mean-field --steps 20 --batch-size 10" in page.words
    kept = [base64.b64decode(source.removeprefix("data:image/png;base64,")) for source in page.sources]
    assert len(kept) == 8  # all that it has but t-SNE
    assert all(content.startswith(b"\x89PNG") for content in kept)


def test_several_runs_stand_beside_each_other(runs, tmp_path, capsys):
    page = report(
        capsys, runs / "a", runs / "b", "--output", tmp_path / "new" / "x.html", "--pictures", "curves"
    )
    assert page.row("log p(x), nats")[0] != page.row("log p(x), nats")[1]
    assert page.row("--seed") == ["0", "1"]
    assert len(page.sources) == 3 + 2  # three numbers of both, and the curves of each
    with np.load(runs / "a" / "evaluation.npz") as a, np.load(runs / "b" / "evaluation.npz") as b:
        difference = b["log_p"].astype(float) - a["log_p"]
    error = difference.std(ddof=1) / len(difference) ** 0.5
    assert page.row("log p(x) minus") == ["", f"{difference.mean():+.2f} ± {error:.2f}"]
    assert "cannot be compared" not in page.words


def test_a_run_that_is_not_finished_says_so(runs, tmp_path, capsys):
    page = report(
        capsys, runs / "a", runs / "stopped", "--output", tmp_path / "x.html", "--pictures", "samples"
    )
    assert page.row("log p(x), nats")[1] == "not finished"
    assert re.search(r"\b\d+ of 20 steps", page.words)
    assert "log p(x) minus" not in page.words


def test_runs_of_another_protocol_are_not_compared(runs):
    run = load_run(runs / "a")
    results = tables.load_results(run)
    other = {**results, "test": {**results["test"], "binarization": "none", "num_images": 5}}
    assert tables.incomparable([run, run], [results, other]) == ["num images", "binarization"]
    assert tables.incomparable([run, run, run], [results, results, None]) == []


@pytest.mark.parametrize(
    ("preset", "arguments"),
    [
        ("mnist-cvae", ["--model.no-learned-prior", "--seed", "3"]),
        (
            "mnist-mean-field",
            ["--model.labels", "one-hot", "--model.learned-prior", "--encoder.widths", "9", "8"],
        ),
        ("mnist-tutorial", ["--data.num-validation", "None", "--optimizer.ema-decay", "0.9"]),
        ("mnist-iaf", ["--posterior.flow", "none", "--data-dir", "/a b"]),
        ("mnist-gated-conv-iaf", ["--optimizer.ema-decay", "None", "--decoder.remat", "True"]),
    ],
)
def test_the_command_of_a_run_trains_such_a_run(preset, arguments):
    config = _parse(["train", preset, *arguments]).config
    words = shlex.split(tables.command(Run(pathlib.Path(), preset, config, (1, 28, 28), None)))
    assert words[:3] == ["jaxvae", "train", preset]
    assert _parse(words[1:]).config == config != load_preset(preset)


def test_an_older_run_has_what_it_has(runs, tmp_path, capsys):
    shutil.copytree(runs / "a", tmp_path / "run")
    (tmp_path / "run" / "evaluation.npz").unlink()
    (tmp_path / "run" / "results.json").write_text(json.dumps({"test": {"elbo": -9.0, "log_p_x": -8.0}}))
    page = report(capsys, tmp_path / "run")
    assert page.row("log p(x)") == ["-8.00"]
    assert len(page.sources) == 7  # its images are not scored anew for a histogram


def test_what_a_run_says_is_not_taken_for_html(runs, tmp_path, capsys):
    shutil.copytree(runs / "a", tmp_path / "<b>&amp;")
    page = report(capsys, tmp_path / "<b>&amp;", "--pictures", "samples")
    assert "<b>&amp;" in page.words


@pytest.mark.parametrize(
    ("spoil", "arguments", "message"),
    [
        (lambda run: shutil.rmtree(run / "checkpoints"), [], r"Expected a readable checkpoint in"),
        (
            lambda run: (run / "results.json").write_text("{"),
            [],
            r"Expected .*results.json to be the results",
        ),
        (lambda run: None, ["--output", "."], r"Expected the suffix of --output to be one of .html; got ''"),
        (lambda run: (run / "results.json").write_text('{"test": 3}'), [], r"Expected .*to be the results"),
        (
            lambda run: None,
            ["--pictures", "classes"],
            r"Expected a conditional model for the picture classes",
        ),
        (lambda run: shutil.rmtree(run), [], r"Expected a run directory to hold config.json"),
    ],
)
def test_bad_input_is_one_line_and_no_page(runs, tmp_path, capsys, spoil, arguments, message):
    shutil.copytree(runs / "a", tmp_path / "run", ignore=shutil.ignore_patterns("report.html"))
    spoil(tmp_path / "run")
    code, out, err = run_main(capsys, "report", tmp_path / "run", *arguments)
    assert (code, out) == (2, "")
    assert re.fullmatch(f"jaxvae: {message}.*\n", err)
    assert not (tmp_path / "run" / "report.html").exists()


def test_no_run_is_refused(capsys):
    code, _, err = run_main(capsys, "report")
    assert (code, len(err.splitlines())) == (2, 1)
