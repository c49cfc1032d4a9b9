"""The content of the page, its size, its texts and its errors. No browser is needed."""

import base64
import gzip
import hashlib
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.decomposition import PCA

from autoencoders import explore
from autoencoders.explorer import latents, runtime
from autoencoders.explorer.content import ExplorerRun, collect_run
from autoencoders.explorer.encoding import SHEET_COLUMNS, compress_numbers, draw_sheet
from autoencoders.explorer.loading import LoadOptions, load_run
from autoencoders.explorer.page import fit_page, render_page
from autoencoders.latent.densities import GaussianFull
from autoencoders.types import UserError


@pytest.fixture(scope="module")
def cvae(make_run):
    run = make_run("model=cvae")
    return run, collect_run(run, count=50)


class Scripts(HTMLParser):
    """Collect the attributes and the text of the script elements of a page."""

    def __init__(self, page):
        super().__init__()
        self.found, self.reading = [], False
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.reading = tag == "script"
        if self.reading:
            self.found.append([dict(attributes), ""])

    def handle_endtag(self, tag):
        self.reading = False

    def handle_data(self, data):
        if self.reading:
            self.found[-1][1] += data


def test_the_policy_allows_only_the_scripts_of_the_page(cvae):
    page = render_page([cvae[1]], "title")
    policy = re.search(r'Content-Security-Policy" content="(.*?)"', page).group(1).replace("&#39;", "'")
    rules = {name: sources for name, *sources in (rule.split() for rule in policy.split("; "))}
    assert (rules["default-src"], rules["connect-src"], rules["img-src"]) == (["'none'"], ["blob:"], ["data:"])
    scripts = Scripts(page).found
    executed = [text for attributes, text in scripts if "type" not in attributes]
    digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in executed]
    assert rules["script-src"] == [*(f"'sha256-{digest}'" for digest in digests), "'wasm-unsafe-eval'"]
    assert "src" not in {name for attributes, _ in scripts for name in attributes}
    assert not re.search(r'(src|href)="https?:', page)


def test_texts_cannot_become_markup():
    title = "</script><img src=x onerror=alert(1)>&'\""
    content = {"title": title, "encoder": None}
    page = render_page([ExplorerRun(title, content, 0.0)], title)
    assert "<img" not in page
    [text] = [text for attributes, text in Scripts(page).found if attributes.get("id") == "content"]
    assert json.loads(text) == [content]


def test_the_networks_are_those_of_the_model(cvae, tmp_path):
    """ONNX Runtime, another library, executes the files that the page contains."""
    onnxruntime = pytest.importorskip("onnxruntime")
    run, explorer = cvae
    content, session = explorer.content, {}
    for name in ("encoder", "decoder"):
        data = gzip.decompress(base64.b64decode(content[name]))
        session[name] = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    batch = run.batch("val", 5)
    y = batch.y.numpy()
    [z] = session["encoder"].run(None, {"x": batch.x.numpy(), "y": y})
    [image] = session["decoder"].run(None, {"z": z, "y": y})
    np.testing.assert_allclose(z, run.encode(batch.x, batch.y), atol=1e-5)
    np.testing.assert_allclose(image, run.reconstruct(batch.x, batch.y), atol=1e-5)
    assert explorer.difference < 1e-5


class OwnDecoder(torch.nn.Module):
    """A decoder that this package does not contain."""

    def __init__(self):
        super().__init__()
        self.frequencies = torch.nn.Parameter(torch.randn(4, 64))

    def forward(self, z, context=None):
        return torch.sin(z @ self.frequencies).cumsum(1).view(-1, 1, 8, 8)


def test_a_decoder_of_the_user_is_exported(make_run):
    run = make_run("model=vae")
    run.model.decoder = OwnDecoder()
    assert collect_run(run, count=20).difference < 1e-5  # of ONNX Runtime from PyTorch


def test_the_page_contains_codes_labels_and_images(cvae):
    run, explorer = cvae
    content = explorer.content
    codes = np.frombuffer(gzip.decompress(base64.b64decode(content["codes"])), "<f4").reshape(50, 4)
    rows = np.linspace(0, len(run.codes("val").z) - 1, 50).round().astype(int)
    np.testing.assert_array_equal(codes, run.codes("val").z[rows])
    assert content["classes"] == run.annotations("val").classes[rows].tolist()
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(content["sheet"].partition(",")[2]))))
    image = run.batch("val", torch.tensor(rows)).target[SHEET_COLUMNS + 1, 0].numpy()
    np.testing.assert_array_equal(sheet[8:16, 8:16], (image * 255).round())
    assert content["context"]["names"] == [str(i) for i in range(10)]
    assert sorted(content["latents"]["order"]) == [0, 1, 2, 3]


def test_a_color_sheet_is_close_to_its_images():
    images = torch.linspace(0, 1, 3 * 16 * 16).view(1, 3, 16, 16).repeat(2, 1, 1, 1)
    url = draw_sheet(images)
    assert url.startswith("data:image/jpeg;base64,")
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))) / 255
    assert sheet.shape == (16, 16 * SHEET_COLUMNS, 3)
    assert np.abs(sheet[:, :16] - images[0].permute(1, 2, 0).numpy()).mean() < 0.03


def test_the_plane_is_that_of_the_leading_principal_components():
    z = torch.randn(200, 6, generator=torch.Generator().manual_seed(0)) * torch.tensor([3, 1, 2, 0.5, 0.1, 0.2]) + 1
    plane = latents.describe_plane(z)
    points = (z.double() - torch.tensor(plane["origin"])) @ torch.tensor(plane["axes"], dtype=torch.float64).T
    pca = PCA(2, svd_solver="full").fit(z.double().numpy())
    np.testing.assert_allclose(points.abs(), np.abs(pca.transform(z.double().numpy())), atol=1e-6)
    assert plane["names"][0] == f"PC 1 of codes ({pca.explained_variance_ratio_[0]:.0%} of variance)"


@pytest.mark.parametrize(("size", "axes"), [(1, [[1], [0]]), (2, [[1, 0], [0, 1]])])
def test_up_to_two_latents_are_the_axes_themselves(size, axes):
    plane = latents.describe_plane(torch.randn(10, size) + 5)
    assert (plane["origin"], plane["axes"]) == ([0] * size, axes)


def test_an_ae_is_sampled_from_a_gaussian_that_is_fitted_to_its_codes(make_run):
    run = make_run("model=ae")
    codes = run.codes("val")
    density = latents.describe_density(run, "val", codes)
    assert density["text"] == f"a Gaussian fitted to {len(codes.z):,} validation codes, because the model has no prior"
    root = np.array(density["root"])
    np.testing.assert_allclose(density["mean"], codes.z.mean(0), atol=1e-5)
    np.testing.assert_allclose(root @ root.T, np.cov(codes.z.numpy().T), rtol=1e-3, atol=1e-4)
    ranking = latents.rank_latents(run, "val", torch.arange(20), codes.z[:20])
    assert ranking["kind"] == "variance"
    assert ranking["center"] == codes.z[:20].mean(0).tolist()


def test_noise_that_is_not_gaussian_is_not_sampled_from_the_prior(make_run):
    run = make_run("model=vae", "posterior.noise=uniform")
    density = latents.describe_density(run, "val", run.codes("val"))
    assert "because its codes do not follow N(0, I)" in density["text"]
    assert density["mean"] == GaussianFull().fit(run.codes("val").z).mean.tolist()


def test_a_trained_mixture_is_sampled_as_it_is(make_run):
    run = make_run("model=vae", "prior=vamp", "prior.components=5")
    density = latents.describe_density(run, "val", run.codes("val"))
    assert density["text"] == "the VampPrior of 5 pseudo-inputs"
    with torch.no_grad():
        mixture = run.model.code_density()
    components = density["components"]
    np.testing.assert_allclose(components["weights"], [0.2] * 5, rtol=1e-6)
    np.testing.assert_allclose(components["mean"], mixture.mean, rtol=1e-6)
    np.testing.assert_allclose(components["std"], (0.5 * mixture.log_variance).exp(), rtol=1e-6)
    np.testing.assert_allclose(density["mean"], mixture.mean.mean(0), rtol=1e-5, atol=1e-7)
    ranking = latents.rank_latents(run, "val", torch.arange(20), run.codes("val").z[:20])
    assert ranking["kind"] == "variance"


def test_a_prior_per_class_has_a_gaussian_for_each_class(make_run):
    run = make_run("model=cvae", "prior=conditional")
    density = latents.describe_density(run, "val", run.codes("val"))
    assert density["components"]["byClass"]
    with torch.no_grad():
        exact = run.model.code_density(torch.arange(10))
    np.testing.assert_allclose(density["components"]["mean"], exact.mean, rtol=1e-6)
    ranking = latents.rank_latents(run, "val", torch.arange(20), run.codes("val").z[:20])
    assert ranking["kind"] == "KL"
    assert ranking["center"] != [0.0] * 4


def test_encoders_are_left_out_of_a_page_that_would_be_too_large(cvae):
    runs = [ExplorerRun(cvae[1].title, dict(cvae[1].content), 0.0) for _ in range(2)]
    sizes = [len(run.content["encoder"]) for run in runs]
    size = len(render_page(runs, "title"))
    page = fit_page(runs, "title", (size - sizes[1] / 2) / 1e6)
    assert [run.has_encoder for run in runs] == [True, False]
    assert len(page) < size - sizes[1] / 2
    with pytest.raises(UserError, match=r"megabytes must be at least \d\.\d for this page without encoders, got 1"):
        fit_page(runs, "title", 1)


def test_numbers_keep_their_values():
    values = torch.tensor([[1.5, -2e-7], [3e8, 0.1]])
    assert gzip.decompress(base64.b64decode(compress_numbers(values))) == values.numpy().tobytes()


def test_the_files_of_the_runtime_have_the_stated_digests(monkeypatch, tmp_path):
    files = runtime.read_runtime()
    assert f"ONNX Runtime Web v{runtime.VERSION}" in files.script
    assert gzip.decompress(files.binary)[:4] == b"\0asm"
    assert files.license.startswith("MIT License")
    for file in runtime.FOLDER.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / runtime.SCRIPT).write_bytes(b"changed")
    monkeypatch.setattr(runtime, "FOLDER", tmp_path)
    with pytest.raises(UserError, match=r"must have the SHA-256 digest 9f26.*Install the package again"):
        runtime.read_runtime()


def test_an_export_that_fails_is_one_sentence(make_run, monkeypatch):
    def fail(*args, **options):
        raise RuntimeError("no such operator\nmore")

    monkeypatch.setattr(torch.onnx, "export", fail)
    with pytest.raises(UserError, match=r"export fails \(RuntimeError: no such operator\)\. Use operations"):
        collect_run(make_run("model=vae"), count=10)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("images=1", "images must be an integer >= 2, got 1."),
        ("split=all", "split must be train, val or test, got all."),
        ("megabytes=0", "megabytes must be a number > 0, got 0."),
        ("out=page.htm", "out must end in .html, got page.htm. Choose out=<name>.html."),
        ("run=nowhere", "nowhere must be a checkpoint or a run folder, but it does not exist."),
        ("imagse=3", "Did you mean images?"),
    ],
)
def test_wrong_options_are_one_sentence(run_command, tmp_path, option, message):
    done = run_command(explore, "run=nowhere", option, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_pretrained_model_is_shown():
    pytest.importorskip("onnxscript", reason="needs the extra export")
    run = load_run("pretrained:digits-cvae", LoadOptions(images=10))
    assert run.content["context"]["names"] == [str(digit) for digit in range(10)]
    assert run.content["latentDim"] == 10
    assert run.difference < 1e-5
