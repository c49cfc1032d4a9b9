"""Loggers and reports get PNG files, whatever format is selected for the files on disk."""

import pytest
from lightning.pytorch.loggers import Logger
from matplotlib.figure import Figure

from autoencoders.config.diff import result_settings
from autoencoders.figures.files import FigureOptions
from autoencoders.loggers.base import MediaLogger
from autoencoders.loggers.csv import MetricsCSVLogger
from autoencoders.loggers.guarded import GuardedLogger
from autoencoders.loggers.media import MediaWriter
from autoencoders.reports.images import latest_figures
from autoencoders.types import ApplicationResult


class Recorder(MediaLogger, Logger):
    """Logger that records what it receives."""

    name, version = "recorder", ""

    def __init__(self):
        super().__init__()
        self.figures, self.results = [], []

    def log_metrics(self, metrics, step=None):
        raise AssertionError("results are sent by send_results")

    def log_hyperparams(self, *args, **keywords):
        pass

    def send_figure(self, key, path, caption, step):
        self.figures.append(path.read_bytes())

    def send_results(self, results, model, step, repeated):
        self.results.append((dict(results), model, step, repeated))


@pytest.mark.parametrize("name", ["pdf", "svg"])
def test_loggers_reports_and_animations_get_png_files(name, tmp_path):
    recorder = Recorder()
    writer = MediaWriter(tmp_path, [GuardedLogger(recorder)], options=FigureOptions(format=name))
    paths = [writer.save_figure("samples", Figure(figsize=(1, 1)), step) for step in (1, 2)]
    assert [path.name for path in paths] == [f"000001.{name}", f"000002.{name}"]
    assert all(path.is_file() for path in paths)
    assert [content[:4] for content in recorder.figures] == [b"\x89PNG"] * 2
    assert latest_figures(tmp_path / "figures")["samples"].read_bytes() == recorder.figures[1]
    assert writer.save_animation("samples", 0.1, 2).suffix == ".gif"


def test_results_are_sent_with_the_name_of_the_model_and_the_csv_file_keeps_their_names(tmp_path):
    recorder, csv = Recorder(), MetricsCSVLogger(tmp_path / "metrics.csv")
    writer = MediaWriter(tmp_path, [GuardedLogger(csv), GuardedLogger(recorder)], model="vae")
    writer.save_result("evaluate", ApplicationResult({"MSE/vae": 0.5}), 3)
    assert recorder.results == [({"evaluate/MSE/vae": 0.5}, "vae", 3, False)]
    assert csv.latest == {"evaluate/MSE/vae": 0.5}


def test_the_format_of_figures_is_no_setting_of_the_results():
    assert result_settings({"seed": 1, "figures": {"format": "pdf"}}) == {"seed": 1}
