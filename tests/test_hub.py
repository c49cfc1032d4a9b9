"""`python -m autoencoders.hub`, and models on the hub: the library's own client talks to a server on this machine."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hub_server import HubServer

import autoencoders
from autoencoders import hub
from autoencoders.applications.export import export
from autoencoders.config import instantiate
from autoencoders.runs import hub_client
from autoencoders.runs.run import Run
from autoencoders.types import UserError

pytest.importorskip("huggingface_hub")

SCRIPT = """
import json, sys, autoencoders
run = autoencoders.load(sys.argv[1])
metrics = run.apply("evaluate", samples=2, measured=10).metrics
print(json.dumps({"metrics": metrics, "saved": run.metrics, "repr": repr(run), "files": sorted(map(str, sys.path))}))
"""


@pytest.fixture
def server():
    with HubServer() as server:
        yield server


@pytest.fixture
def environment(server, tmp_path):
    """Environment of a process whose hub is the server. The client reads these variables when it is imported."""
    folder = tmp_path / "home"
    return {**os.environ, "HF_ENDPOINT": server.address, "HF_HOME": str(folder), "HF_TOKEN": "hf_good",
            "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}  # fmt: skip


@pytest.fixture
def exported(compose, tmp_path):
    """Return an untrained VAE and the folder of its export."""
    config = compose("model=vae", "data=digits", "data.size=8", "latent_dim=3", "net.widths=[16]")
    data = instantiate.build(config["data"])
    run = Run(tmp_path, config, instantiate.build_model(config, (1, 8, 8), None).eval(), data).prepare()
    export(run, folder=str(tmp_path), onnx=False, explorer=False, count=3)
    return run, tmp_path / "export"


def command(*words, environment, cwd):
    done = subprocess.run([sys.executable, "-m", "autoencoders.hub", *words], cwd=cwd, env=environment, text=True,
                          capture_output=True, timeout=120)  # fmt: skip
    return done


@pytest.mark.slow
def test_a_model_makes_a_round_trip(exported, server, environment, tmp_path):
    _, folder = exported
    (folder / "explorer.html").write_text("<!doctype html>")
    (folder / "decoder.onnx").write_bytes(b"network")
    sent = {"config.yaml", "weights.safetensors", "metrics.json", "README.md", "explorer.html", "decoder.onnx"}
    words = ["push", f"folder={folder}", "repo=user/digits-vae", "private=true"]
    done = command(*words, environment=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        f"pushed   {server.address}/user/digits-vae", "load     autoencoders.load('hub:user/digits-vae')"
    ]  # fmt: skip
    files = server.files("user/digits-vae")
    assert set(files) == sent
    assert files["weights.safetensors"] == (folder / "weights.safetensors").read_bytes()
    assert b'autoencoders.load("hub:user/digits-vae")' in files["README.md"]
    assert len(server.objects) == 2  # sent as large files
    assert str(tmp_path).encode() not in b"".join(files.values())
    assert server.private == {"user/digits-vae"}

    server.repositories["user/digits-vae"][-1] = {**files, "setup.py": b"raise SystemExit(1)"}
    done = command("pull", "repo=user/digits-vae", "folder=here", environment=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    pulled = {path.name for path in (tmp_path / "here").iterdir() if path.is_file()}
    assert pulled == sent

    results = []
    for name in (str(folder), str(tmp_path / "here"), "hub:user/digits-vae"):
        done = subprocess.run([sys.executable, "-c", SCRIPT, name], cwd=tmp_path, env=environment, text=True,
                              capture_output=True, timeout=120)  # fmt: skip
        assert done.returncode == 0, done.stderr
        results.append(json.loads(done.stdout.splitlines()[-1]))
    assert results[0]["metrics"] == results[1]["metrics"] == results[2]["metrics"]
    assert results[0]["saved"] == results[2]["saved"] != {}
    assert "hub:user/digits-vae" in results[2]["repr"]

    # Without a network, the cache of the client is used.
    offline = {**environment, "HF_HUB_OFFLINE": "1"}
    script = "import autoencoders; print(autoencoders.load('hub:user/digits-vae').model.sample(2).shape)"
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=offline, text=True, capture_output=True)
    assert done.stdout.strip() == "torch.Size([2, 1, 8, 8])", done.stderr


@pytest.mark.slow
def test_errors_of_the_hub_are_one_sentence(exported, server, environment, tmp_path):
    _, folder = exported
    wrong = {**environment, "HF_TOKEN": "hf_wrong"}
    unreachable = {**environment, "HF_ENDPOINT": "http://127.0.0.1:9"}
    for words, variables, message in (
        (["push", f"folder={folder}", "repo=user/x"], wrong, f"autoencoders: {folder} cannot be sent to user/x: "),
        (["pull", "repo=user/nothing"], environment, "autoencoders: user/nothing cannot be fetched from the hub: "),
        (["pull", "repo=user/nothing"], unreachable, "autoencoders: user/nothing cannot be fetched from the hub: "),
    ):
        done = command(*words, environment=variables, cwd=tmp_path)
        assert done.returncode == 2
        assert done.stderr.splitlines()[-1].startswith(message)
        assert "Traceback" not in done.stderr


def test_a_push_and_a_pull_call_the_client(exported, monkeypatch, tmp_path, run_command):
    """The calls of the client, without its network code; the slow test above uses the network code."""
    import huggingface_hub

    run, folder = exported
    sent = {}

    def create_repo(repo, *, private, exist_ok):
        sent.update(repo=repo, private=private, exist_ok=exist_ok)
        return f"https://example.org/{repo}"

    def upload_folder(*, repo_id, folder_path, revision, commit_message):
        sent["files"] = {path.name: path.read_bytes() for path in Path(folder_path).iterdir()}

    def snapshot_download(repo, *, revision, local_dir, allow_patterns):
        sent.update(revision=revision)
        local_dir = local_dir or tmp_path / "cache"
        local_dir.mkdir()
        for name, content in sent["files"].items():
            (local_dir / name).write_bytes(content)
        return str(local_dir)

    for function in (create_repo, upload_folder, snapshot_download):
        monkeypatch.setattr(huggingface_hub, function.__name__, function)
    (folder / "secret.txt").write_text("not part of an export")
    done = run_command(hub, "push", f"folder={folder}", "repo=me/x", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert sent["repo"] == "me/x"
    assert "secret.txt" not in sent["files"]
    done = run_command(hub, "pull", "repo=me/x@v1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert sent["revision"] == "v1"
    loaded = [autoencoders.load(tmp_path / "x"), autoencoders.load("hub:me/x")]
    x = run.batch("test", 4).x
    assert all(torch.equal(one.model.encode(x), run.model.encode(x)) for one in loaded)
    assert loaded[1].source == "hub:me/x"
    assert loaded[1].results_folder == Path("runs/hub-me-x")
    assert loaded[1].metrics == json.loads((folder / "metrics.json").read_text())


def test_the_card_is_read_by_the_library_of_the_hub(exported):
    from huggingface_hub import ModelCard

    _, folder = exported
    card = ModelCard.load(folder / "README.md")
    assert card.data.license == "unknown"
    assert card.data.pipeline_tag == "unconditional-image-generation"
    results = {result.metric_name: result.metric_value for result in card.data.eval_results}
    metrics = json.loads((folder / "metrics.json").read_text())
    assert results == {name: pytest.approx(metrics[name], rel=1e-5) for name in results}
    assert {"test/neg_elbo", "test/mse"} <= set(results)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["fetch", "repo=a/b"], "The first word must be push or pull, got 'fetch'"),
        (["push", "repo=a/b"], "folder must be a folder that application=export has written, got null"),
        (["push", "repo=a/b", "folder=nothing"], "does not contain config.yaml and weights.safetensors"),
        (["pull", "repo=ab"], "The repository must be user/name or user/name@revision, got 'ab'"),
        (["pull"], "repo must be given"),
        (["pull", "repo=a/b", "foldr=x"], "foldr"),
        (["push", "repo=a/b", "private=1"], "private must be true or false"),
    ],
)
def test_wrong_commands_are_one_sentence(words, message, run_command, tmp_path):
    done = run_command(hub, *words, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_names_of_repositories():
    assert hub_client.parse_repository("hub:user/name@refs/pr/1") == ("user/name", "refs/pr/1")
    assert hub_client.parse_repository("my.org/my-name_2") == ("my.org/my-name_2", None)
    for name in ("hub:name", "a/b/c", "../x", "a/b@", "a b/c", ""):
        with pytest.raises(UserError, match="must be user/name"):
            hub_client.parse_repository(name)


def test_a_folder_without_an_export_is_refused(monkeypatch, tmp_path):
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *words, **options: str(tmp_path))
    with pytest.raises(UserError, match=r"hub:a/b must contain an export of this package"):
        autoencoders.load("hub:a/b")
