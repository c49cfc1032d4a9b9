import itertools
import random

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA as SklearnPCA

from autoencoders.config import instantiate
from autoencoders.models.evaluation import EVALUATION_SEED
from autoencoders.runs import loading
from autoencoders.types import Batch, Context, UserError
from autoencoders.utils import counter_rng

CONTEXT = Context("classes", tuple("0123456789"))
ATTRIBUTES = Context("attributes", ("Male", "Smiling"))
SHAPES = [(1, 8, 8), (1, 28, 28), (3, 45, 45), (3, 62, 47), (3, 128, 128)]
OPTIONS = {
    "model": ["ae", "vae", "cvae", "pca"],
    "net": ["mlp", "conv", "deepconv", "burgess", "residual", "skip"],
    "likelihood": ["bernoulli", "gaussian", "gaussian_learned", "laplace"],
    "beta": ["constant", "warmup", "cyclical", "capacity", "0.5"],
    "shape": SHAPES,
    "join": ["both", "decoder", "every_layer"],
    "context": [CONTEXT, ATTRIBUTES],
}


def pairwise(options, seed=0):
    """Yield few combinations that cover every pair of values of every two options (greedy)."""
    rng, names = random.Random(seed), list(options)

    def pairs(row):
        return {(a, str(row[a]), b, str(row[b])) for a, b in itertools.combinations(names, 2)}

    missing = set().union(*(pairs(dict(zip(names, v, strict=True))) for v in itertools.product(*options.values())))
    while missing:
        candidates = [{n: rng.choice(options[n]) for n in names} for _ in range(200)]
        best = max(candidates, key=lambda row: len(pairs(row) & missing))
        if pairs(best) & missing:
            missing -= pairs(best)
            yield best


def build(compose, *overrides, shape=(1, 28, 28), context=CONTEXT):
    return instantiate.build_model(compose(*overrides), shape, context)


def batch_for(shape, context, size=6):
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(size, *shape, generator=generator)
    y = torch.arange(size) % 10 if context.kind == "classes" else torch.randn(size, context.size, generator=generator)
    return Batch(x, x, y, torch.arange(size))


@pytest.mark.parametrize("row", list(pairwise(OPTIONS)), ids=lambda row: "-".join(str(v) for v in row.values())[:70])
def test_every_pair_of_options_builds_and_gives_every_parameter_a_gradient(compose, row):
    overrides = [f"{group}={row[group]}" for group in ("model", "net", "likelihood", "beta")]
    if row["model"] == "cvae":
        overrides.append(f"model.join={row['join']}")
    config = compose(*overrides, "latent_dim=5")
    if row["likelihood"] == "bernoulli" and (row["model"] == "pca" or row["net"] == "residual"):
        with pytest.raises(UserError, match=r"cannot use likelihood=bernoulli|likelihood.activation must be sigmoid"):
            instantiate.build_model(config, row["shape"], row["context"])
        return
    model = instantiate.build_model(config, row["shape"], row["context"])
    model.initialize(torch.randint(0, 256, (40, *row["shape"]), dtype=torch.uint8))
    batch = batch_for(row["shape"], row["context"])
    eps = torch.randn(6, model.latent_dim, generator=torch.Generator().manual_seed(1))
    terms = model.terms(batch, eps)
    assert terms.distortion.shape == terms.rate.shape == (6,)
    assert terms.pixels.mean.shape == batch.x.shape
    loss = terms.distortion.mean() + model.beta_schedule(terms.rate.mean(), 0.5)
    assert torch.isfinite(loss)
    if row["model"] != "pca":  # fitted, not trained
        loss.backward()
        # The gradient of a unit that is inactive for all images of the batch is zero, but not None.
        assert [n for n, p in model.named_parameters() if p.grad is None] == []
        # Without a rate, the head may pass on the code alone.
        has_rate = terms.rate.grad_fn is not None
        assert all(p.grad.abs().sum() > 0 for p in model.head.parameters()) or not has_rate


def test_all_models_load_from_their_checkpoints_without_executing_code(compose, tmp_path):
    for name in OPTIONS["model"]:
        model = build(compose, f"model={name}", "latent_dim=3")
        state = {"hyper_parameters": dict(model.hparams), "state_dict": model.state_dict()}
        torch.save(state, tmp_path / "x.ckpt")
        loaded = loading.open_run(tmp_path / "x.ckpt").model
        x, y = batch_for((1, 28, 28), CONTEXT)[0], torch.arange(6)
        assert torch.equal(loaded(x, y), model.eval()(x, y))


def test_beta_one_is_the_negative_elbo_of_torch_distributions(compose):
    model = build(compose, "model=vae", "likelihood=gaussian", "latent_dim=4").eval()
    batch, eps = batch_for((1, 28, 28), CONTEXT), torch.randn(6, 4)
    terms = model.terms(batch, eps)
    q = model.posterior(batch.x)
    gaussian = torch.distributions.Normal(q.mean, (0.5 * q.log_variance).exp())
    z = q.mean + gaussian.scale * eps
    log_p = torch.distributions.Normal(model.decode(z), 0.1).log_prob(batch.x).flatten(1).sum(1)
    kl = torch.distributions.kl_divergence(gaussian, torch.distributions.Normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(terms.distortion + terms.rate, kl - log_p, rtol=1e-4, atol=1e-2)


def test_reconstruction_uses_the_posterior_mean_and_is_deterministic(compose):
    model = build(compose, "model=cvae").eval()
    batch = batch_for((1, 28, 28), CONTEXT)
    assert torch.equal(model(batch.x, batch.y), model(batch.x, batch.y))
    assert torch.equal(model(batch.x, batch.y), model.decode(model.posterior(batch.x, batch.y).mean, batch.y))


@pytest.mark.parametrize(("join", "ends"), [("both", True), ("decoder", False), ("every_layer", True)])
def test_join_selects_where_the_context_is_joined(compose, join, ends):
    model = build(compose, "model=cvae", f"model.join={join}").eval()
    x, zeros, ones = torch.rand(4, 1, 28, 28), torch.zeros(4).long(), torch.ones(4).long()
    assert torch.equal(model.encode(x, zeros), model.encode(x, ones)) != ends
    z = torch.randn(4, 10)
    assert not torch.equal(model.decode(z, zeros), model.decode(z, ones))


def test_an_unconditional_model_ignores_labels(compose):
    model = build(compose, "model=vae").eval()
    x = torch.rand(4, 1, 28, 28)
    assert torch.equal(model(x, torch.zeros(4).long()), model(x))


def test_l1_adds_the_norm_of_the_code_to_the_loss(compose):
    batch = batch_for((1, 28, 28), CONTEXT)
    model = build(compose, "model=ae", "model.l1=0.5").eval()
    terms = model.terms(batch, None)
    torch.testing.assert_close(terms.extra, 0.5 * model.encode(batch.x).abs().sum(1))
    assert build(compose, "model=ae").terms(batch, None).extra is None


def test_pca_equals_that_of_scikit_learn_on_real_digits(compose, digits):
    model = build(compose, "model=pca", "latent_dim=20")
    model.initialize(digits.images("train"))
    train, test = (digits.images(s).flatten(1).double().numpy() / 255 for s in ("train", "test"))
    reference = SklearnPCA(20, svd_solver="full").fit(train)
    images = torch.from_numpy(test).float().reshape(-1, 1, 28, 28)
    np.testing.assert_allclose(model.encode(images).abs(), np.abs(reference.transform(test)), rtol=1e-5, atol=1e-5)
    expected = reference.inverse_transform(reference.transform(test))
    np.testing.assert_allclose(model(images).flatten(1), expected, rtol=1e-5, atol=1e-5)
    residual = train - reference.inverse_transform(reference.transform(train))
    assert model.family.log_scale.exp().item() == pytest.approx(np.sqrt((residual**2).mean()), rel=1e-4)


def test_samples_are_decoded_codes_of_the_prior(compose):
    model = build(compose, "model=vae").eval()
    z = torch.randn(5, model.latent_dim, generator=torch.Generator().manual_seed(3))
    images = model.sample(5, temperature=0.5, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(images, model.decode(z / 2))
    torch.testing.assert_close(model.reconstruct(images), model.decode(model.encode(images)))
    with pytest.raises(UserError, match="sample needs a model with a prior, got ae"):
        build(compose, "model=ae").sample(1)


def test_evaluation_noise_is_fixed_by_row_for_any_batch_size(compose, digits):
    model = build(compose, "model=vae").eval()
    images = digits.images("val").float() / 255

    def sums(size):
        for index in torch.arange(len(images)).split(size):
            model.validation_step(Batch(images[index], images[index], None, index), 0)
        means = model.val_metric.compute()
        model.val_metric.reset()
        return means

    with torch.no_grad():
        torch.testing.assert_close(sums(180), sums(7), rtol=1e-6, atol=1e-6)
        expected = model.terms(
            Batch(images, images, None, torch.arange(180)),
            counter_rng.normal(counter_rng.derive_seed(EVALUATION_SEED, "eps", "val"), torch.arange(180), 10),
        )
    assert sums(50)[0].item() == pytest.approx(expected.distortion.mean().item(), rel=1e-6)


@pytest.mark.parametrize(
    ("overrides", "context", "message"),
    [
        (["model=cvae"], None, "model=cvae needs labels"),
        (["model=cvae", "model.join=top"], CONTEXT, "model.join must be one of"),
        (["model=ae", "model.l1=-1"], CONTEXT, "model.l1 must be"),
        (["model=pca", "latent_dim=1000"], CONTEXT, "latent_dim must be at most 784"),
    ],
)
def test_invalid_combinations_raise_a_user_error(compose, overrides, context, message):
    with pytest.raises(UserError, match=message):
        build(compose, *overrides, context=context)


def test_a_cvae_without_labels_raises_a_user_error(compose):
    with pytest.raises(UserError, match="got images without labels"):
        build(compose, "model=cvae")(torch.rand(2, 1, 28, 28))


def test_a_linear_code_starts_independent_of_the_context_and_reconstructs_as_pca(compose, tmp_path):
    """Without this start, a decoder with a good code would not use the context."""
    overrides = ["model=cvae", "net=residual", "data=cartoons", "latent_dim=20", "data.size=16", "data.count=300"]
    overrides += [
        "data.attributes=[skin,mouth]",
        f"data.cache='{tmp_path}'",
        "data.batch_size=100",
        "schedule=constant",
    ]
    config = compose(*overrides)
    data = instantiate.build(config["data"])
    data.setup()
    model = instantiate.build_model(config, data.shape, data.context)
    trainer = pl.Trainer(max_steps=0, logger=False, enable_checkpointing=False, accelerator="cpu", barebones=True)
    trainer.fit(model, datamodule=data)
    batch = data.take("train", 1000)
    with torch.no_grad():
        z = model.encode(batch.x, batch.y)
        ours = model(batch.x, batch.y).flatten(1).numpy()
        moved = (model.decode(z, -batch.y) - model.decode(z, batch.y)).abs().mean()
    correlation = np.corrcoef(np.column_stack([z.numpy(), batch.y.numpy()]).T)[:20, 20:]
    assert np.abs(correlation).max() < 1e-3
    assert moved > 0.02
    pixels = batch.x.flatten(1).numpy()
    pca = SklearnPCA(20).fit(pixels)
    np.testing.assert_allclose(ours, pca.inverse_transform(pca.transform(pixels)), atol=1e-3)
