"""The explorer page of runs in training: the page shows the networks of the newest checkpoint."""

import http.client
import json
import os
import threading

import numpy as np
import pytest
import torch

from autoencoders.explorer import live
from autoencoders.explorer.live import MAX_RUNS, LiveExplorer, find_checkpoints
from autoencoders.reports.content import ReportOptions
from autoencoders.reports.server import create_server
from autoencoders.runs.loading import BEST, LAST, open_run


@pytest.fixture(scope="module")
def folder(compose_into, tmp_path_factory):
    """The folder of a run that was trained for a few steps."""
    pytest.importorskip("onnxscript", reason="needs the extra export")
    from autoencoders.train import train

    folder = tmp_path_factory.mktemp("live") / "run"
    words = ["model=cvae", "data=digits", "data.size=8", "latent_dim=2", "trainer=cpu", "trainer.max_epochs=1"]
    train(compose_into(*words, "logger=none", "callbacks=checkpoint", folder=folder))
    return folder


@pytest.fixture
def serve(folder):
    """`serve(with_explorer)` starts a server for the run, and returns its port."""
    servers = []

    def start(with_explorer):
        server, _ = create_server([str(folder)], ReportOptions(), with_explorer=with_explorer)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        servers.append(server)
        return server.server_port

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def request(port, path, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    return response.status, response.read().decode()


def change_weights(folder):
    """Replace the last checkpoint by one with other weights, as a training does."""
    state = torch.load(folder / LAST, weights_only=True)
    for name, value in state["state_dict"].items():
        if name.startswith("decoder") and name.endswith((".weight", ".bias")):
            value += 0.1 * torch.randn_like(value)
    state["global_step"] += 100
    torch.save(state, folder / "partial.ckpt")
    os.replace(folder / "partial.ckpt", folder / LAST)


def test_the_newest_checkpoints_are_found(tmp_path):
    folders = {}
    for i in range(MAX_RUNS + 2):
        folders[tmp_path / str(i)] = f"run {i}"
        (tmp_path / str(i) / "checkpoints").mkdir(parents=True)
        if i != 1:  # a run without a checkpoint
            file = tmp_path / str(i) / (BEST if i == 2 else LAST)
            file.touch()
            os.utime(file, (1000 + i, 1000 + i))
    found = find_checkpoints(folders)
    assert list(found) == [f"run {i}" for i in range(2, MAX_RUNS + 2)]
    assert found["run 2"] == tmp_path / "2" / BEST
    assert found["run 3"] == tmp_path / "3" / LAST


def test_a_checkpoint_that_cannot_be_read_is_a_note(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    explorer = LiveExplorer(lambda: {tmp_path: "mine"})
    assert json.loads(explorer.state())["note"].startswith("No run has saved a checkpoint yet.")
    (tmp_path / LAST).write_text("damaged")
    explorer.state()
    explorer.wait(60)
    assert "mine: " in json.loads(explorer.state())["note"]
    assert "is not a checkpoint of this package" in json.loads(explorer.state())["note"]
    assert json.loads(explorer.content()) == []


def test_without_the_option_there_is_no_explorer(serve):
    port = serve(False)
    assert request(port, "/explorer")[0] == request(port, "/explorer/state")[0] == 404
    assert 'href="explorer"' not in request(port, "/")[1]


@pytest.mark.slow
def test_the_content_follows_the_checkpoint(folder, serve):
    files = {file: file.stat().st_mtime_ns for file in folder.rglob("*")}
    explorer = LiveExplorer(lambda: {folder: "mine"})
    first = json.loads(explorer.state())
    explorer.wait(60)
    second = json.loads(explorer.state())
    assert first["version"] != second["version"]
    assert second["note"] == ""
    [content] = json.loads(explorer.content())
    assert content["label"] == "mine"
    assert content["step"] == open_run(folder / LAST).step
    assert json.loads(explorer.state())["version"] == second["version"]  # nothing has changed
    assert {file: file.stat().st_mtime_ns for file in folder.rglob("*")} == files
    port = serve(True)
    assert 'href="explorer"' in request(port, "/")[1]
    status, page = request(port, "/explorer")
    assert status == 200
    assert "connect-src blob: &#39;self&#39;" in page
    assert request(port, "/explorer", Host="attacker.example")[0] == 403
    assert request(port, "/explorer/config.yaml")[0] == 404


@pytest.mark.slow
def test_the_page_shows_the_newest_decoder(start_browser, open_url, folder, serve, monkeypatch):
    monkeypatch.setattr(live, "PAUSE", 0.0)
    browser = start_browser()
    page = open_url(browser, f"http://127.0.0.1:{serve(True)}/explorer", open_run(folder / LAST))
    page.js("explorer.select([0.5, -1]); document.querySelector('#class-4').click()")
    code, label = page.check_pixels()
    step = page.js("return explorer.content.step")
    change_weights(folder)
    page.wait(f"return explorer.content.step > {step}", seconds=120)
    page.run = open_run(folder / LAST)
    after = page.check_pixels()
    np.testing.assert_allclose(after[0], code)
    assert after[1] == label == 4
    assert [url for url in page.requests() if not url.startswith(("blob:", "data:", "http://127.0.0.1:"))] == []
