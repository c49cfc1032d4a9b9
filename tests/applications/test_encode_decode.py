"""Tests of application=encode and application=decode: the files, and the round trip."""

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file
from scipy.stats import norm
from sklearn.decomposition import PCA

from autoencoders.applications.code_files import READERS, code_columns, read_codes
from autoencoders.applications.decode import decode, png_names
from autoencoders.applications.encode import encode
from autoencoders.config import instantiate
from autoencoders.runs.run import Run
from autoencoders.types import UserError
from autoencoders.utils import extras


@pytest.fixture
def vae_run(compose, tmp_path, digits):
    """Return the run of an untrained VAE on digits."""
    config = compose("model=vae", "data=digits", "latent_dim=3", "net=mlp")
    return Run(tmp_path, config, instantiate.build_model(config, digits.shape, None).eval(), digits).prepare()


@pytest.fixture
def photos(digits_run, tmp_path):
    """Save nine digits as PNG files in subfolders, and return the folder."""
    folder = tmp_path / "my photos"
    for i, image in enumerate(digits_run.batch("test", 9).x):
        path = folder / ("first" if i < 4 else "é second") / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((image[0] * 255).round().numpy().astype("uint8")).save(path)
    return folder


def read_png(file):
    return np.asarray(Image.open(file))


@pytest.mark.parametrize("format", READERS)
def test_every_format_contains_the_codes_names_and_labels(vae_run, format):
    file = encode(vae_run, format=format).files[0]
    batch = vae_run.batch("test")
    table = read_codes(file)
    posterior = vae_run.model.posterior(batch.x)
    np.testing.assert_array_equal(table[code_columns(table)].to_numpy("float32"), vae_run.encode(batch.x))
    np.testing.assert_allclose(
        table[code_columns(table, "std")], posterior.log_variance.detach().exp().sqrt(), rtol=1e-5
    )
    assert table["split"].tolist() == ["test"] * len(batch.x)
    assert table["index"].tolist() == list(range(len(batch.x)))
    assert table["class"].tolist() == [str(label) for label in batch.y.tolist()]


def test_files_are_read_by_other_libraries(vae_run):
    files = {format: encode(vae_run, format=format).files[0] for format in READERS}
    z = vae_run.encode(vae_run.batch("test").x).numpy()
    np.testing.assert_array_equal(np.load(files["npz"])["z"], z)
    np.testing.assert_array_equal(load_file(files["safetensors"])["z"], z)
    np.testing.assert_array_equal(pd.read_parquet(files["parquet"])[["z0", "z1", "z2"]].to_numpy(), z)
    np.testing.assert_allclose(pd.read_csv(files["csv"])[["z0", "z1", "z2"]].to_numpy(), z, rtol=1e-7)


def test_statistics_of_the_latents(vae_run):
    table = encode(vae_run, split="val").tables["dimensions"]
    batch = vae_run.batch("val")
    posterior = vae_run.model.posterior(batch.x)
    mean, std = posterior.mean.detach().numpy(), posterior.log_std.exp().detach().numpy()
    np.testing.assert_allclose(table["mean"], mean.mean(0), atol=1e-6)
    np.testing.assert_allclose(table["deviation"], mean.std(0, ddof=1), rtol=1e-4)
    np.testing.assert_allclose(table["posterior deviation"], std.mean(0), rtol=1e-4)
    # Rate: -entropy of the posterior - expectation of the log-density of the prior
    rate = -norm(mean, std).entropy() + 0.5 * (np.log(2 * np.pi) + mean**2 + std**2)
    np.testing.assert_allclose(table["rate"], rate.mean(0), atol=1e-5)


def test_errors_of_a_linear_model_equal_those_of_pca_and_the_file_loses_nothing(digits_run):
    table = encode(digits_run, split="all").tables["errors"].set_index("method")
    x = np.concatenate([digits_run.batch(split).x.flatten(1).numpy() for split in ("train", "val", "test")])
    pca = PCA(16, svd_solver="full").fit(digits_run.batch("train").x.flatten(1).numpy())
    expected = ((pca.inverse_transform(pca.transform(x)).clip(0, 1) - x) ** 2).mean()
    assert table.loc["PCA-16", "mse"] == pytest.approx(expected, rel=1e-3)
    assert table.loc["pca", "mse"] == table.loc["pca without the file", "mse"]
    assert table.loc["pca", "mse"] == pytest.approx(expected, rel=1e-2)
    assert table.loc["pca", "images"] == len(x) == 1797


@pytest.mark.parametrize("format", READERS)
def test_own_images_are_reconstructed_by_encode_and_decode(vae_run, photos, format):
    file = encode(vae_run, images=str(photos), format=format).files[0]
    result = decode(vae_run, codes=str(file))
    names = ["first/0.png", "first/1.png", "first/2.png", "first/3.png", *(f"é second/{i}.png" for i in range(4, 9))]
    assert result.tables["images"]["png"].tolist() == names == read_codes(file)["file"].tolist()
    x, _ = vae_run.read_images(photos)
    expected = vae_run.reconstruct(x)[:, 0].numpy()
    decoded = np.stack([read_png(result.files[0] / name) for name in names])
    assert np.abs(decoded / 255 - expected).max() <= 0.5 / 255 + 1e-6


@pytest.mark.parametrize("format", READERS)
def test_labels_of_a_conditional_model_are_stored(cvae_run, format):
    file = encode(cvae_run, split="val", format=format).files[0]
    result = decode(cvae_run, codes=str(file), count=3)
    batch = cvae_run.batch("val")
    expected = cvae_run.reconstruct(batch.x, batch.y)[:, 0].numpy()
    decoded = np.stack([read_png(result.files[0] / f"val-{i}.png") for i in range(len(batch.x))])
    assert np.abs(decoded / 255 - expected).max() <= 0.5 / 255 + 1e-6
    other = cvae_run.reconstruct(batch.x, (batch.y + 1) % 10)[:, 0].numpy()
    assert np.abs(decoded / 255 - other).max() > 2 / 255  # the labels matter


def test_codes_of_images_are_more_consistent_than_random_codes(digits_run, tmp_path):
    codes = np.random.default_rng(0).normal(0, 20, (30, 16))
    pd.DataFrame(codes, columns=[f"z{i}" for i in range(16)]).to_csv(tmp_path / "random.csv", index=False)
    table = decode(digits_run, codes=str(tmp_path / "random.csv")).tables["consistency"].set_index("method")
    assert table.loc["codes of the file", "difference"] > 5 * table.loc["codes of test images", "difference"]
    assert (tmp_path / "decode/29.png").is_file()


def test_equal_names_have_different_files():
    names = png_names(pd.DataFrame({"file": ["a/x.jpg", "a/x.png", "x.png", "x.png", "x.png"]}))
    assert names == ["a/x.png", "a/x.png.png", "x.png", "x.png.png", "x-4.png"]
    assert png_names(pd.DataFrame({"z0": [1.0] * 11}))[:2] == ["00.png", "01.png"]
    for name in ("../x.png", "/etc/x.png", "a/../../x.png", ""):
        with pytest.raises(UserError, match="must contain paths relative to a folder"):
            png_names(pd.DataFrame({"file": [name]}))


def codes_file(folder, name="codes.csv", size=2, **columns):
    table = pd.DataFrame({**{f"z{i}": [0.5, 1.0] for i in range(size)}, **columns})
    table.to_csv(folder / name, index=False)
    return folder / name


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        (
            {"size": 3},
            "must have the 2 columns z0 to z1, one for each latent of the model, got 3 columns; not expected",
        ),
        ({"size": 1}, "got 1 columns; missing: z1"),
        ({"z1": [1.0, np.nan]}, "1 of 2 rows contain other values; the first is row 2"),
        ({"z1": ["x", np.inf]}, "2 of 2 rows contain other values; the first is row 1"),
        ({}, "has no column 'class'. Its labels are: 0, 1, 2"),
        ({"class": ["3", "ten"]}, "must contain classes of the model, got 'ten'"),
        ({"class": ["3", "4"], "file": ["a.png", "../b.png"]}, "must contain paths relative to a folder"),
    ],
)
def test_wrong_codes_are_refused_in_one_sentence(cvae_run, tmp_path, columns, sentence):
    with pytest.raises(UserError) as refused:
        decode(cvae_run, codes=str(codes_file(tmp_path, **columns)))
    assert sentence in str(refused.value)
    assert not (tmp_path / "decode").exists()


def test_files_that_are_not_codes_are_refused(vae_run, tmp_path):
    for suffix in READERS:
        (tmp_path / f"broken.{suffix}").write_bytes(b"\x00\x01\xffno codes")
        with pytest.raises(UserError):
            decode(vae_run, codes=str(tmp_path / f"broken.{suffix}"))
    np.savez(tmp_path / "flat.npz", z=np.zeros(3))
    torch.save({}, tmp_path / "codes.pt")
    for name, sentence in (
        ("flat.npz", r"must contain an array z .* got the shape \(3,\)"),
        ("codes.pt", "must be a file with the suffix csv, parquet, npz, safetensors"),
        ("none.csv", "must be an existing file"),
    ):
        with pytest.raises(UserError, match=sentence):
            decode(vae_run, codes=str(tmp_path / name))
    with pytest.raises(UserError, match="needs a file with codes"):
        decode(vae_run)


def test_own_images_have_no_labels_for_a_conditional_model(cvae_run, photos):
    with pytest.raises(UserError, match="your own images have no labels"):
        encode(cvae_run, images=str(photos))


def test_parquet_without_pyarrow_names_the_extra(vae_run, monkeypatch):
    def missing(name):
        raise ModuleNotFoundError(name=name)

    monkeypatch.setattr(extras.importlib, "import_module", missing)
    with pytest.raises(UserError, match=r"format=parquet needs the package pyarrow.*\[parquet\]"):
        encode(vae_run, format="parquet")
    with pytest.raises(UserError, match=r"format must be one of \['csv', 'parquet', 'npz', 'safetensors'\], got 'xls'"):
        encode(vae_run, format="xls")
