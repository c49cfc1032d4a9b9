"""The live page: progress while files are being written, and a server that serves nothing else."""

import contextlib
import http.client
import json
import re
import socket
import threading
from types import SimpleNamespace

import pytest

from autoencoders import report
from autoencoders.reports.content import ReportOptions
from autoencoders.reports.live_progress import planned_steps
from autoencoders.reports.server import create_server
from autoencoders.types import UserError
from autoencoders.utils.folder_lock import OWNER_FILE, Owner

CONFIG = dict.fromkeys(("title", "question", "verdict", "figures", "sections", "metrics")) | {"megabytes": 10}
TRAINER = {"trainer.max_epochs": 4, "data.batch_size": 8}  # 80 training images: 10 steps per epoch


@pytest.fixture
def start_server():
    """Return `start_server(*folders)`, which returns `request(path, method, **headers)` -> status, headers, bytes."""
    with contextlib.ExitStack() as stack:

        def serve(*folders, **options):
            server, _ = create_server([str(folder) for folder in folders], ReportOptions(**options))
            stack.callback(server.server_close)
            stack.callback(server.shutdown)
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
            assert server.server_address[0] == "127.0.0.1"

            def request(path="/state", method="GET", **headers):
                connection = http.client.HTTPConnection(*server.server_address, timeout=10)
                connection.request(method, path, headers={k.replace("_", "-"): v for k, v in headers.items()})
                response = connection.getresponse()
                return response.status, dict(response.getheaders()), response.read()

            return request

        yield serve


def make_running_run(make_run, name="a", rows=()):
    """Write the folder of a run during training. This process is its owner."""
    folder = make_run(name, None, TRAINER, status="running")
    (folder / OWNER_FILE).write_text(json.dumps(Owner.current()._asdict()))
    (folder / "metrics.json").unlink()
    lines = ["epoch,step,step/loss,train/objective,val/objective", *rows]
    (folder / "metrics.csv").write_text("".join(f"{line}\n" for line in lines))
    return folder


def get_state(request):
    """Return the decoded state."""
    return json.loads(request()[2])


def test_state_shows_the_progress_of_a_run(make_run, start_server):
    folder = make_running_run(make_run, rows=["0,4,150,,", "0,9,,140,130", "1,19,,120,110"])
    request = start_server(folder)
    [run] = get_state(request)["runs"]
    assert run["state"] == "running"
    assert run["share"] == 0.5
    assert run["facts"][:2] == ["epoch 2 of 4", "step 20 of 40"]
    assert run["values"] == [["val/objective", "110"], ["lowest", "110"]]
    [chart] = get_state(request)["charts"]
    assert [(line["name"], line["points"]) for line in chart["series"]] == [
        ("training", [[9, 140], [19, 120]]),
        ("validation", [[9, 130], [19, 110]]),
    ]
    with (folder / "metrics.csv").open("a") as file:
        file.write("2,29,,110,99")  # an incomplete line: 99 may become 99.5
    assert get_state(request)["runs"][0]["values"][0] == ["val/objective", "110"]
    with (folder / "metrics.csv").open("a") as file:
        file.write(".5\n")
    assert get_state(request)["runs"][0]["values"][0] == ["val/objective", "99.5"]
    assert re.fullmatch(r"[\d,]+ images/s", get_state(request)["runs"][0]["facts"][2])


@pytest.mark.parametrize(("status", "error"), [("failed", "ValueError: no"), ("stopped", "stopped after step 3")])
def test_state_shows_errors_and_warnings(make_run, start_server, status, error):
    folder = make_running_run(make_run)
    request = start_server(folder)
    metadata = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(
        json.dumps(metadata | {"status": status, "error": error, "warnings": ["A warning."]})
    )
    [run] = get_state(request)["runs"]
    assert (run["state"], run["error"], run["warnings"]) == (status, error, ["A warning."])


def test_a_run_whose_process_is_gone_is_interrupted(make_run, start_server):
    folder = make_running_run(make_run, rows=["0,4,150,,"])
    request = start_server(folder)
    states = [get_state(request)]
    (folder / OWNER_FILE).write_text(json.dumps(Owner.current()._replace(started="0")._asdict()))  # a reused process id
    states.append(get_state(request))
    assert [state["runs"][0]["state"] for state in states] == ["running", "interrupted"]
    assert states[0]["version"] != states[1]["version"]
    assert "interrupted: its process ended without writing a status" in request("/")[2].decode()


def test_a_new_figure_changes_the_page_and_incomplete_figures_are_skipped(make_run, start_server):
    folder = make_running_run(make_run)
    request = start_server(folder)
    first = request("/")[2].decode()
    version = get_state(request)["version"]
    assert f'data-version="{version}"' in first
    complete = (folder / "figures/samples/000012.png").read_bytes()
    (folder / "figures/samples/000030.png").write_bytes(complete[:-9])
    assert get_state(request)["version"] != version
    [address] = re.findall(r'src="(picture/\w+)"', request("/")[2].decode())
    status, headers, content = request(f"/{address}")
    assert (status, headers["Content-Type"], content) == (200, "image/png", complete)
    (folder / "run.json").write_text("{")  # as long as it is being written
    assert request("/")[0] == 200
    assert get_state(request)["runs"][0]["label"] == "a"


def test_later_jobs_of_a_sweep_are_added(make_run, start_server):
    folder = make_running_run(make_run, "sweep/0_a")
    request = start_server(folder.parent)
    assert [run["label"] for run in get_state(request)["runs"]] == ["0_a"]
    make_run("sweep/1_b")
    assert [(run["label"], run["state"]) for run in get_state(request)["runs"]] == [("0_a", "running"), ("1_b", "done")]


def test_an_unchanged_state_is_not_sent_again(make_run, start_server):
    request = start_server(make_run("a"))
    tag = request()[1]["ETag"]
    assert request(If_None_Match=tag)[::2] == (304, b"")
    assert request(If_None_Match='"other"')[0] == 200


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
def test_files_cannot_be_requested(make_run, start_server, path):
    status, _, content = start_server(make_run("a"))(path)
    assert (status, content) == (404, b"Not found.\n")


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", ""])
def test_foreign_host_names_are_refused(make_run, start_server, host):
    request = start_server(make_run("a"))
    assert request("/", Host=host)[0] == 403
    assert request("/", Host="localhost:9")[0] == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "HEAD"])
def test_only_get_is_allowed(make_run, start_server, method):
    status, headers, _ = start_server(make_run("a"))("/", method)
    assert (status, headers["Allow"]) == (405, "GET")


def test_the_policy_allows_connections_only_to_the_server(make_run, start_server):
    _, headers, content = start_server(make_run("a"))("/")
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', content.decode())[1].replace("&#39;", "'")
    assert policy.startswith("default-src 'none'; img-src 'self' data:; connect-src 'self'; style-src 'sha256-")
    assert "data:image" not in content.decode()
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_a_missing_figure_is_named_on_the_page(make_run, start_server):
    assert (
        b"no run has a figure reconstructions"
        in start_server(make_running_run(make_run), figures=["reconstructions"])("/")[2]
    )


def test_a_port_in_use_is_refused(make_run):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UserError, match="cannot be used: Address already in use"):
            create_server([str(make_run("a"))], ReportOptions(), taken.getsockname()[1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"live": "maybe"}, "live must be true or false, got 'maybe'"),
        ({"port": 99999}, "port must be an integer between 0"),
        ({"out": "a.html"}, "out and format must not be set with live=true"),
    ],
)
def test_invalid_live_options_are_refused(options, message):
    config = {
        **CONFIG,
        "runs": ["runs/*"],
        "out": None,
        "format": None,
        "copy": False,
        "explorer": False,
        "live": True,
        "port": 0,
    }
    with pytest.raises(UserError, match=message):
        report.serve_report(config | options)


@pytest.mark.parametrize(
    ("limit", "steps"), [(float("nan"), 15), (float("inf"), 15), (0.5, 7), (3, 3), ("odd", 15), (None, 15)]
)
def test_planned_steps_for_any_batch_limit(limit, steps):
    values = {("data", "batch_size"): 64, ("trainer", "limit_train_batches"): limit, ("trainer", "max_epochs"): 3}
    run = SimpleNamespace(record={"data": {"images": {"train": 1000}}}, config_value=lambda *keys: values.get(keys))
    assert planned_steps(run) == (steps, 3 * steps)
