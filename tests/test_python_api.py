"""The package used from Python: models and data modules with a plain Trainer, and trained runs."""

import inspect
import json
import signal
import subprocess
import sys
from functools import partial

import lightning.pytorch as pl
import pandas as pd
import pytest
import torch
import yaml
from hydra.utils import get_object
from omegaconf import OmegaConf

import autoencoders
from autoencoders import AE, CVAE, PCA, VAE, Run, UserError, train
from autoencoders.config import instantiate
from autoencoders.config.compose import compose_config, config_groups
from autoencoders.data import DigitsDataModule
from autoencoders.latent.densities import GaussianFull
from autoencoders.models import defaults
from autoencoders.nets import mlp
from autoencoders.objectives.likelihoods import Gaussian
from autoencoders.types import Context

SHAPE = (1, 28, 28)
CLASSES = Context("classes", tuple("0123456789"))
MODELS = {"ae": AE, "vae": VAE, "cvae": CVAE, "pca": PCA}
SMALL = {"model": "vae", "latent_dim": 4, "logger": "none", "trainer": "cpu", "max_epochs": 1,
         "callbacks": ["checkpoint", "baselines"], "net.widths": [16]}  # fmt: skip
WORDS = ["model=vae", "latent_dim=4", "logger=none", "trainer=cpu", "trainer.max_epochs=1",
         "callbacks=[checkpoint,baselines]", "net.widths=[16]"]  # fmt: skip


def fit(model, data, folder, epochs=1):
    trainer = pl.Trainer(max_epochs=epochs, accelerator="cpu", logger=False, default_root_dir=folder,
                         enable_progress_bar=False, enable_model_summary=False)  # fmt: skip
    trainer.fit(model, data)
    return trainer


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run that `autoencoders.train` has trained."""
    return train(**SMALL, folder=tmp_path_factory.mktemp("python") / "run")


@pytest.fixture(scope="module")
def small_digits():
    data = DigitsDataModule(size=8)
    data.setup()
    return data


# Models -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("net", [None, *defaults.NETS])
@pytest.mark.parametrize("name", MODELS)
def test_defaults_are_those_of_the_configuration(compose, digits, name, net):
    if name == "pca" and net:
        return  # PCA has no net
    config = compose(f"model={name}", *([f"net={net}"] if net else []))
    torch.manual_seed(0)
    configured = instantiate.build_model(config, SHAPE, CLASSES)
    torch.manual_seed(0)
    model = MODELS[name](shape=SHAPE, context=CLASSES, **({"net": net} if net else {}))
    state = configured.state_dict()
    assert {k: v.shape for k, v in model.state_dict().items()} == {k: v.shape for k, v in state.items()}
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    batch = digits.take("val", 8)
    eps = torch.randn(8, model.latent_dim) if name in ("vae", "cvae") else None
    losses = [m.objective.loss(m.terms(batch, eps).mean(), m.beta_schedule, 1.0) for m in (model, configured)]
    assert losses[0] == losses[1]


@pytest.mark.parametrize(
    ("group", "names"),
    [
        ("net", defaults.NETS),
        ("likelihood", defaults.LIKELIHOODS),
        ("beta", defaults.BETA_SCHEDULES),
        ("objective", defaults.OBJECTIVES),
        ("regularizer", defaults.REGULARIZERS),
        ("optimizer", defaults.OPTIMIZERS),
        ("schedule", defaults.SCHEDULES),
    ],
)
def test_the_names_of_parts_are_the_options_of_the_groups(group, names):
    assert sorted(names) == config_groups()[group]


def test_the_optimizer_and_the_schedule_are_those_of_the_configuration(compose, digits, tmp_path):
    data = DigitsDataModule(size=8, batch_size=128)
    config = compose("model=vae", "net=mlp")
    rates = []
    for model in (VAE((1, 8, 8)), instantiate.build_model(config, (1, 8, 8), None)):
        trainer = fit(model, data, tmp_path)
        rates.append(trainer.lr_scheduler_configs[0].scheduler.state_dict())
        assert type(trainer.optimizers[0]) is torch.optim.Adam
    same = ("total_steps", "base_lrs", "_last_lr", "last_epoch")
    assert {key: rates[0][key] for key in same} == {key: rates[1][key] for key in same}


@pytest.mark.parametrize("name", config_groups()["data"])
def test_defaults_of_data_modules_are_those_of_the_configuration(name):
    node = OmegaConf.to_container(compose_config("train", [f"data={name}", "folder=x"]).data, resolve=False)
    kind = get_object(node["_target_"])
    assert kind.default_name == node["name"]
    defaults = {}
    for base in reversed([base for base in kind.__mro__ if "__init__" in vars(base)]):
        parameters = inspect.signature(base.__init__).parameters
        defaults |= {key: one.default for key, one in parameters.items() if one.default is not inspect.Parameter.empty}
    official = {"test"} if name in ("mnist", "fashion") else set()  # these have an official test split
    for key, value in node.items():
        is_given = isinstance(value, dict) or (isinstance(value, str) and (value == "???" or "${" in value))
        if key not in {"_target_", "name"} | official and not is_given:
            default = defaults[key]
            assert (list(default) if isinstance(default, tuple) else default) == value, key


@pytest.mark.parametrize("kind", [AE, VAE, CVAE, DigitsDataModule])
def test_help_shows_the_arguments_of_the_constructor(kind):
    parameters = inspect.signature(kind.__init__).parameters
    assert list(inspect.signature(kind).parameters) == list(parameters)[1:]


def test_parts_by_name_and_as_objects():
    model = VAE(SHAPE, beta=4, beta_schedule="warmup", likelihood="laplace", objective="elbo", net="deepconv")
    assert (model.beta_schedule.weight(1.0), model.beta_schedule.weight(0.0)) == (4, 0)
    assert type(model.family).__name__ == "Laplace"
    assert VAE(SHAPE, encoder=partial(mlp.Encoder, widths=[30])).encoder.features == 30
    assert VAE(SHAPE, beta_schedule="capacity").beta_schedule.value == 10


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"net": "mpl"}, r"encoder must be one of mlp, conv, .*, or an object, got 'mpl'"),
        ({"likelihood": "x"}, "likelihood must be one of bernoulli"),
        ({"beta": -1}, "beta.value must be a finite number >= 0"),
        ({"optimizer": "sgd"}, "optimizer must be one of adam, adamw"),
        ({"latent_dim": 0}, "latent_dim must be an integer >= 1"),
        ({"net": "residual", "likelihood": "bernoulli"}, "activation must be sigmoid"),
    ],
)
def test_wrong_arguments_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        VAE(SHAPE, **options)


def test_samples_at_temperature_zero_are_the_decoded_mean():
    model = VAE(SHAPE)  # in training mode; batch norm must not use or change its statistics
    images = model.sample(3, temperature=0)
    assert model.training
    assert torch.equal(images, model.eval().decode(torch.zeros(3, 10)))
    density = GaussianFull().fit(torch.randn(50, 10) * 2 + 1)
    assert torch.allclose(model.sample(2, temperature=0, density=density), model.decode(density.mean.float()[None]))
    with pytest.raises(UserError, match="temperature must be a finite number >= 0"):
        model.sample(2, temperature=-1)
    with pytest.raises(UserError, match="n must be an integer >= 1"):
        model.sample(0)


def test_samples_of_a_density_have_its_moments():
    z = torch.randn(200, 10) * 3 + 5
    ae = AE(SHAPE)
    codes = []
    ae.decode = lambda z, y=None: codes.append(z) or z
    ae.sample(20_000, density=GaussianFull().fit(z), temperature=0.5)
    torch.testing.assert_close(codes[0].mean(0), z.mean(0), atol=0.1, rtol=0)
    torch.testing.assert_close(codes[0].std(0), z.std(0) / 2, atol=0.1, rtol=0)


def test_labels_are_indices_names_or_attributes():
    cvae = CVAE(SHAPE, classes=["cat", "dog"]).eval()
    assert cvae.label_tensor("dog", 2).tolist() == cvae.label_tensor([1, "dog"], 2).tolist() == [1, 1]
    z = torch.zeros(1, 10)
    assert torch.equal(cvae.sample(1, y="dog", temperature=0), cvae.decode(z, torch.tensor([1])))
    for y, message in (("cow", "one of the classes cat, dog"), (2, "between 0 and 1"), ([0, 1, 0], "labels of shape")):
        with pytest.raises(UserError, match=message):
            cvae.sample(2, y=y)
    with pytest.raises(UserError, match="Pass labels"):
        cvae.sample(2)
    attributes = CVAE(SHAPE, attributes=["a", "b"])
    assert attributes.label_tensor([0.5, 2], 3).tolist() == [[0.5, 2]] * 3
    with pytest.raises(UserError, match=r"In Python, set classes=10"):
        CVAE(SHAPE)
    with pytest.raises(UserError, match="Only one of context, classes and attributes"):
        CVAE(SHAPE, classes=2, attributes=["a"])


@pytest.mark.parametrize("path", ["linear", "spherical"])
def test_the_ends_of_an_interpolation_are_reconstructions(digits, path):
    batch = digits.take("test", 4)
    model = CVAE(SHAPE, classes=10).eval()
    strips = model.interpolate(batch.x[:2], batch.x[2:], steps=5, y=[3, 7], path=path)
    assert strips.shape == (2, 5, *SHAPE)
    y = torch.tensor([3, 7])
    torch.testing.assert_close(strips[:, 0], model.reconstruct(batch.x[:2], y))
    torch.testing.assert_close(strips[:, -1], model.reconstruct(batch.x[2:], y))
    if path == "linear":
        middle = (model.encode(batch.x[:2], y) + model.encode(batch.x[2:], y)) / 2
        torch.testing.assert_close(strips[:, 2], model.decode(middle, y))
    with pytest.raises(UserError, match="b must be images of shape"):
        model.interpolate(batch.x[0], batch.x[:2], y=3)


# Plain Trainer ----------------------------------------------------------------------------------------------


def test_a_plain_trainer_learns_what_the_pipeline_learns(trained, tmp_path):
    pl.seed_everything(0, verbose=False)
    encoder, decoder = partial(mlp.Encoder, widths=[16]), partial(mlp.Decoder, widths=[16])
    model = VAE(SHAPE, latent_dim=4, encoder=encoder, decoder=decoder)
    trainer = fit(model, DigitsDataModule(), tmp_path)
    assert not model.training
    measured = trainer.test(model, DigitsDataModule(), verbose=False)[0]
    assert measured["test/neg_elbo"] == pytest.approx(trained.metrics["test/neg_elbo"], rel=1e-6)


def test_a_residual_net_starts_as_pca(small_digits, tmp_path):
    shape = small_digits.shape
    scores = []
    for model in (AE(shape, net="residual", latent_dim=5, lr=1e-30), PCA(shape, latent_dim=5)):
        scores.append(fit(model, small_digits, tmp_path).callback_metrics["val/mse"])
    torch.testing.assert_close(scores[0], scores[1], rtol=1e-3, atol=0)


@pytest.mark.parametrize(
    "model",
    [
        partial(VAE, latent_dim=3, beta=2, beta_schedule="warmup"),
        partial(CVAE, classes=10, latent_dim=3, likelihood=Gaussian(0.2), optimizer=partial(torch.optim.Adam, lr=1e-3)),
        partial(AE, encoder=partial(mlp.Encoder, widths=[9]), decoder=partial(mlp.Decoder, widths=(9, 8))),
        PCA,
    ],
)
def test_a_checkpoint_of_a_plain_trainer_is_loaded_as_a_run(model, tmp_path):
    data = DigitsDataModule(size=8, batch_size=64, seed=3)
    built = model((1, 8, 8))
    trainer = fit(built, data, tmp_path)
    file = trainer.checkpoint_callback.best_model_path
    run = autoencoders.load(file)
    batch = run.batch("test", 5)
    assert torch.equal(batch.x, data.take("test", 5).x)
    assert torch.equal(run.model.reconstruct(batch.x, batch.y), built.reconstruct(batch.x, batch.y))
    assert (run.data.batch_size, run.data.batch_options.seed) == (64, 3)
    assert run.metrics == {}
    assert run.apply("reconstruct", count=3).figures


def test_load_from_checkpoint_of_lightning(tmp_path):
    data = DigitsDataModule(size=8)
    built = CVAE((1, 8, 8), classes=10, net="mlp", latent_dim=3, likelihood=Gaussian(0.2))
    file = fit(built, data, tmp_path).checkpoint_callback.best_model_path
    loaded = CVAE.load_from_checkpoint(file, likelihood=Gaussian(0.2), weights_only=True).eval()
    batch = data.take("test", 3)
    assert torch.equal(loaded.reconstruct(batch.x, batch.y), built.reconstruct(batch.x, batch.y))
    assert loaded.family.scale == 0.2


def test_a_function_that_cannot_be_saved_is_named(tmp_path):
    built = VAE((1, 8, 8), encoder=lambda shape, size: mlp.Encoder(shape, size, [8]))
    file = fit(built, DigitsDataModule(size=8), tmp_path).checkpoint_callback.best_model_path
    with pytest.raises(UserError, match=r"these arguments were objects of other packages: encoder\. Load it with"):
        autoencoders.load(file)


def test_a_second_fit_trains_again(small_digits, tmp_path):
    model = VAE(small_digits.shape, latent_dim=3)
    model.encoder.pyramid.layers[0][1].eval()  # a frozen layer stays frozen
    for _ in range(2):
        before = {name: value.clone() for name, value in model.named_parameters()}
        modes = []
        model.on_train_epoch_start = lambda modes=modes: modes.append([m.training for m in model.modules()])
        fit(model, small_digits, tmp_path)
        assert modes[0].count(False) == 1
        assert any(not torch.equal(value, before[name]) for name, value in model.named_parameters())
        assert not any(module.training for module in model.modules())


def test_data_that_do_not_match_the_model_are_refused(small_digits, tmp_path):
    with pytest.raises(UserError, match=r"must have the shape of the model, \(1, 28, 28\), got \(1, 8, 8\)"):
        fit(VAE(SHAPE), small_digits, tmp_path)
    with pytest.raises(UserError, match=r"3 classes \(0, 1, 2\), got 10 classes"):
        fit(CVAE((1, 8, 8), classes=3), small_digits, tmp_path)
    with pytest.raises(UserError, match="The trainer needs a data module"):
        pl.Trainer(accelerator="cpu", logger=False, max_epochs=1).fit(VAE(SHAPE), [1])


# Runs -------------------------------------------------------------------------------------------------------


def test_train_is_the_command(trained, run_command, tmp_path):
    done = run_command(train, *WORDS, "hydra.run.dir=run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "run/metrics.json").read_text()) == trained.metrics
    columns = ["step", "val/objective", "val/mse"]
    pd.testing.assert_frame_equal(autoencoders.load(tmp_path / "run").history[columns], trained.history[columns])
    record = json.loads((trained.folder / "run.json").read_text())
    assert "net.widths=[16]" in record["overrides"]


def test_a_run_shows_its_files(trained):
    assert isinstance(trained, Run)
    assert trained.metrics == json.loads((trained.folder / "metrics.json").read_text())
    pd.testing.assert_frame_equal(trained.history, pd.read_csv(trained.folder / "metrics.csv"))
    assert not trained.model.training
    text = repr(trained)
    assert text.startswith("Run(VAE on digits, beta 1, 4 latents; test neg_elbo ")
    assert len(text) < 300
    html = trained._repr_html_()
    assert f"mean image {trained.metrics['test/mse_mean_image']:.4g}" in html
    assert trained.config["seed"] == 0


def test_curves_are_those_of_the_history(trained):
    axes = trained.plot("mse").axes[0]
    steps = trained.history[["step", "val/mse"]].dropna().to_numpy()
    assert axes.lines[0].get_xydata().tolist() == steps.tolist()
    assert len(trained.plot().axes) == 4
    with pytest.raises(UserError, match="name must be one of objective, distortion, rate, mse, got 'accuracy'"):
        trained.plot("accuracy")


def test_figures_are_the_files_by_name(tmp_path, trained):
    run = autoencoders.load(trained.folder)
    (trained.folder / "figures/a/b").mkdir(parents=True, exist_ok=True)
    for step in (2, 1):
        (trained.folder / f"figures/a/b/{step:06d}.png").write_bytes(b"")
    assert [file.name for file in run.figures["a/b"]] == ["000001.png", "000002.png"]


def test_apply_gives_what_the_command_saves(trained, run_command, tmp_path):
    from autoencoders import apply

    result = autoencoders.load(trained.folder).apply("retrieve", count=3)
    done = run_command(apply, f"run={trained.folder}", "application=retrieve", f"folder={tmp_path}", "device=cpu",
                       cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    saved = pd.read_csv(tmp_path / "tables/retrieve/retrieval.csv")
    pd.testing.assert_frame_equal(saved, result.tables["retrieval"], check_dtype=False)
    html = result._repr_html_()
    assert "<table" in html
    assert html.count("data:image/png;base64,iVBOR") == len(result.figures) == 1
    assert len(repr(result)) < 120
    for options, message in (({"name": "retrive"}, "Did you mean retrieve"), ({"name": "none"}, "no application"),
                             ({"name": "retrieve", "cuont": 1}, "no option 'cuont'")):  # fmt: skip
        with pytest.raises(UserError, match=message):
            trained.apply(options.pop("name"), **options)


def test_names_in_results_are_escaped():
    table = pd.DataFrame({"<b>": ["<script>"]}).assign(value=1.0)
    text = autoencoders.ApplicationResult(tables={"<i>": table})._repr_html_()
    assert not any(tag in text for tag in ("<b>", "<script>", "<i>"))
    assert "&lt;script&gt;" in text


def test_an_export_of_a_model_of_private_files_has_no_data(trained, tmp_path):
    trained.apply("export", folder=str(tmp_path), count=2, onnx=False, explorer=False)
    file = tmp_path / "export/config.yaml"
    plain = yaml.safe_load(file.read_text())
    file.write_text(yaml.safe_dump(plain | {"config": plain["config"] | {"data": {"name": "digits"}}}))
    run = autoencoders.load(tmp_path / "export")
    assert repr(run).startswith("Run(VAE on digits, beta 1, 4 latents; ")
    assert run.model.sample(2).shape == (2, *SHAPE)
    with pytest.raises(UserError, match="contains no data, because the model was trained on files"):
        run.apply("reconstruct")
    with pytest.raises(UserError, match="The run has no curves"):
        run.plot()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "vea"}, "Did you mean model=vae"),
        ({"data": "folder"}, "data.path must be given"),
        ({"latent_dimension": 3}, "There is no option latent_dimension"),
        ({"max_epochs": "x"}, "trainer.max_epochs must be an integer or null, got 'x'"),
        ({"trainer": "ddp_cpu"}, "must use one process"),
        ({"net": {"widths": [3]}}, "net must be the name of an option"),
        ({"overrides": ["beta=1,2"]}, "An override must set one value in Python"),
        ({"beta": -1}, "beta must be a finite number >= 0"),
        ({"seed": object()}, "seed must be a number, a text, a list or a dict of them"),
    ],
)
def test_wrong_options_are_user_errors_and_leave_nothing(options, message, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        train(**options)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert not list(tmp_path.glob("runs/*"))


def test_default_folders_differ(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    quick = {**SMALL, "callbacks": ["checkpoint"], "test": False, "overrides": ["trainer.limit_train_batches=2"]}
    folders = {train(**quick).folder for _ in range(2)}
    assert len(folders) == 2
    assert all(folder.parent.name == "runs" and "vae-digits-z4-beta1" in folder.name for folder in folders)


def test_train_inside_of_a_hydra_application_is_refused():
    import hydra

    with hydra.initialize(version_base="1.3"), pytest.raises(UserError, match="inside of another Hydra application"):
        train(**SMALL)


def test_an_interrupt_is_a_keyboard_interrupt_and_the_handlers_are_restored(tmp_path):
    handler = signal.getsignal(signal.SIGINT)

    class Interrupt(pl.Callback):
        def on_train_batch_start(self, *arguments):
            signal.raise_signal(signal.SIGINT)

    from autoencoders.training import pipeline

    build = pipeline.build_trainer
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "build_trainer", lambda config, callbacks, *rest: build(
            config, [*callbacks, Interrupt()], *rest))  # fmt: skip
        with pytest.raises(KeyboardInterrupt, match="is stopped"):
            train(**{**SMALL, "callbacks": ["default"]}, folder=tmp_path / "run")
    assert signal.getsignal(signal.SIGINT) is handler
    assert (tmp_path / "run/checkpoints/last.ckpt").is_file()


def test_the_import_is_light_and_names_are_found():
    code = (
        "import sys, autoencoders\n"
        "assert not {'torch', 'hydra', 'lightning', 'pandas'} & set(sys.modules)\n"
        "assert {'VAE', 'load', 'train', 'data'} <= set(dir(autoencoders))\n"
        "assert 'DigitsDataModule' in dir(autoencoders.data) and 'torch' not in sys.modules\n"
        "assert callable(autoencoders.train)\n"
        "import autoencoders.train\n"
        "assert callable(autoencoders.train)\n"
        "from autoencoders import train\n"
        "assert train.main.__name__ == 'main' and train is autoencoders.train\n"
        "try:\n    autoencoders.VEA\nexcept AttributeError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "module 'autoencoders' has no attribute 'VEA'\n"
