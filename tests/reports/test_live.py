"""A page that follows runs: what it says while files are being written, and that its server gives away nothing else."""

import contextlib
import http.client
import json
import re
import socket
import threading
from types import SimpleNamespace

import pytest

from autoencoders import report
from autoencoders.reports.live_progress import planned
from autoencoders.reports.server import server
from autoencoders.types import UserError

OPTIONS = dict.fromkeys(("title", "question", "verdict", "figures", "parts", "metrics", "defaults")) | {"megabytes": 10}
TRAINER = {"trainer.max_epochs": 4, "data.batch_size": 8}  # of 80 training images: 10 steps an epoch


@pytest.fixture
def served():
    """`served(*folders)`: `ask(path, method, **headers)` -> status, headers, bytes."""
    with contextlib.ExitStack() as stack:

        def serve(*folders, **options):
            made, _ = server([str(folder) for folder in folders], OPTIONS | options)
            stack.callback(made.server_close)
            stack.callback(made.shutdown)
            threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
            assert made.server_address[0] == "127.0.0.1"

            def ask(path="/state", method="GET", **headers):
                connection = http.client.HTTPConnection(*made.server_address, timeout=10)
                connection.request(method, path, headers={k.replace("_", "-"): v for k, v in headers.items()})
                answer = connection.getresponse()
                return answer.status, dict(answer.getheaders()), answer.read()

            return ask

        yield serve


def running(make_run, name="a", rows=()):
    """A run in the middle of its training."""
    folder = make_run(name, None, TRAINER, status="running")
    (folder / "metrics.json").unlink()
    lines = ["epoch,step,step/loss,train/objective,val/objective", *rows]
    (folder / "metrics.csv").write_text("".join(f"{line}\n" for line in lines))
    return folder


def state(ask):
    return json.loads(ask()[2])


def test_how_far_a_run_is(make_run, served):
    folder = running(make_run, rows=["0,4,150,,", "0,9,,140,130", "1,19,,120,110"])
    ask = served(folder)
    [run] = state(ask)["runs"]
    assert run["state"] == "running"
    assert run["share"] == 0.5
    assert run["facts"][:2] == ["epoch 2 of 4", "step 20 of 40"]
    assert run["values"] == [["val/objective", "110"], ["lowest", "110"]]
    [chart] = state(ask)["charts"]
    assert [(line["name"], line["points"]) for line in chart["series"]] == [
        ("training", [[9, 140], [19, 120]]),
        ("validation", [[9, 130], [19, 110]]),
    ]
    with (folder / "metrics.csv").open("a") as file:
        file.write("2,29,,110,99")  # in the middle of being written: 99 may be 99.5
    assert state(ask)["runs"][0]["values"][0] == ["val/objective", "110"]
    with (folder / "metrics.csv").open("a") as file:
        file.write(".5\n")
    assert state(ask)["runs"][0]["values"][0] == ["val/objective", "99.5"]
    assert re.fullmatch(r"[\d,]+ images/s", state(ask)["runs"][0]["facts"][2])


@pytest.mark.parametrize(("status", "error"), [("failed", "ValueError: no"), ("stopped", "stopped after step 3")])
def test_a_run_that_has_not_ended_well_says_so(make_run, served, status, error):
    folder = running(make_run)
    ask = served(folder)
    metadata = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(
        json.dumps(metadata | {"status": status, "error": error, "warnings": ["Look out."]})
    )
    [run] = state(ask)["runs"]
    assert (run["state"], run["error"], run["warnings"]) == (status, error, ["Look out."])


def test_the_page_changes_where_a_figure_comes_and_whole_pictures_alone_are_shown(make_run, served):
    folder = running(make_run)
    ask = served(folder)
    first = ask("/")[2].decode()
    version = state(ask)["version"]
    assert f'data-version="{version}"' in first
    whole = (folder / "figures/samples/000012.png").read_bytes()
    (folder / "figures/samples/000030.png").write_bytes(whole[:-9])
    assert state(ask)["version"] != version
    [address] = re.findall(r'src="(picture/\w+)"', ask("/")[2].decode())
    status, headers, content = ask(f"/{address}")
    assert (status, headers["Content-Type"], content) == (200, "image/png", whole)
    (folder / "run.json").write_text("{")  # as long as it is being written
    assert ask("/")[0] == 200
    assert state(ask)["runs"][0]["label"] == "a"


def test_jobs_that_begin_later_come_in(make_run, served):
    folder = running(make_run, "sweep/0_a")
    ask = served(folder.parent)
    assert [run["label"] for run in state(ask)["runs"]] == ["0_a"]
    make_run("sweep/1_b")
    assert [(run["label"], run["state"]) for run in state(ask)["runs"]] == [("0_a", "running"), ("1_b", "done")]


def test_nothing_new_is_told_in_a_few_bytes(make_run, served):
    ask = served(make_run("a"))
    tag = ask()[1]["ETag"]
    assert ask(If_None_Match=tag)[::2] == (304, b"")
    assert ask(If_None_Match='"other"')[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        "/run.json",
        "/../a/run.json",
        "/picture/../run.json",
        "/picture/",
        "/figures/samples/000012.png",
        "/?x",
        "/%2e%2e/",
    ],
)
def test_no_file_can_be_asked_for(make_run, served, path):
    status, _, content = served(make_run("a"))(path)
    assert (status, content) == (404, b"There is nothing here.\n")


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", ""])
def test_foreign_names_are_refused(make_run, served, host):
    ask = served(make_run("a"))
    assert ask("/", Host=host)[0] == 403
    assert ask("/", Host="localhost:9")[0] == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "HEAD"])
def test_get_alone_is_answered(make_run, served, method):
    status, headers, _ = served(make_run("a"))("/", method)
    assert (status, headers["Allow"]) == (405, "GET")


def test_the_page_may_ask_its_server_and_nobody_else(make_run, served):
    _, headers, content = served(make_run("a"))("/")
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', content.decode())[1].replace("&#39;", "'")
    assert policy.startswith("default-src 'none'; img-src 'self' data:; connect-src 'self'; style-src 'sha256-")
    assert "data:image" not in content.decode()
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_what_is_asked_for_and_not_there_yet_is_told(make_run, served):
    assert b"No run has a figure reconstructions" in served(running(make_run), figures=["reconstructions"])("/")[2]


def test_a_port_that_is_taken(make_run):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UserError, match="cannot be had: Address already in use"):
            server([str(make_run("a"))], OPTIONS, taken.getsockname()[1])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"live": "maybe"}, "live must be true or false, and is 'maybe'"),
        ({"port": 99999}, "port must be a whole number from 0"),
        ({"out": "a.html"}, "live=true serves a page and writes none"),
    ],
)
def test_what_the_door_refuses(options, sentence):
    config = {**OPTIONS, "runs": ["runs/*"], "out": None, "format": None, "copy": False, "live": True, "port": 0}
    with pytest.raises(UserError, match=sentence):
        report.follow(config | options)


@pytest.mark.parametrize(
    ("limit", "steps"), [(float("nan"), 15), (float("inf"), 15), (0.5, 7), (3, 3), ("odd", 15), (None, 15)]
)
def test_steps_are_planned_whatever_a_limit_says(limit, steps):
    said = {("data", "batch_size"): 64, ("trainer", "limit_train_batches"): limit, ("trainer", "max_epochs"): 3}
    run = SimpleNamespace(record={"data": {"images": {"train": 1000}}}, at=lambda *keys: said.get(keys))
    assert planned(run) == (steps, 3 * steps)
