"""Time and memory of the importance-weighted likelihood of a trained VAE, compared with `get_nll` of pythae.

    python benchmarks/likelihood.py <run> [--images 1000] [--samples 5000] [--compared 20] [--threads 1]

(a) `autoencoders.metrics.likelihood.importance_weighted` on evenly spaced test images. (b) `VAE.get_nll` of pythae, a
loop over images, with the same weights, its own batch size of 100 and without gradients, on fewer images. Both are
interleaved on the same images. pythae uses its own noise, and once our noise, so that the values must be equal. Times
are processor times, which depend little on the load of the machine. Requires a run of model=vae with
likelihood=bernoulli; pythae is optional (`pip install pythae`).
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from autoencoders.applications.base import spread_rows
from autoencoders.metrics.likelihood import Estimate, importance_weighted
from autoencoders.models.autoencoder import Autoencoder
from autoencoders.objectives.likelihoods import Bernoulli
from autoencoders.runs import loading
from autoencoders.runs.run import Run
from autoencoders.types import Batch
from autoencoders.utils import counter_rng

ROUNDS, AT_A_TIME = 3, 100


def ours(model: Autoencoder, batch: Batch, samples: int) -> tuple[Estimate, float]:
    """Return the estimate of every image and the processor time in seconds."""
    start = time.process_time()
    estimate = importance_weighted(model, batch.x, batch.target, None, batch.index, samples=samples)
    return estimate, time.process_time() - start


def memory(field: str) -> float:
    """Return the memory of this process in MiB: `VmRSS` (current) or `VmHWM` (peak since `reset_peak`) on Linux."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def reset_peak() -> None:
    """Reset `VmHWM`: decoding the data took more memory than an estimate."""
    Path("/proc/self/clear_refs").write_text("5")


def as_pythae(model: Autoencoder) -> Any:
    """Return a VAE of pythae with the same networks and weights."""
    from pythae.models import VAE, VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder

    class Encoder(BaseEncoder):
        def forward(self, x: Tensor) -> ModelOutput:
            mean, log_variance = model.posterior(x)
            return ModelOutput(embedding=mean, log_covariance=log_variance)

    class Decoder(BaseDecoder):
        def forward(self, z: Tensor) -> ModelOutput:
            return ModelOutput(reconstruction=model.decode(z))

    config = VAEConfig(input_dim=model.shape, latent_dim=model.latent_dim, reconstruction_loss="bce")
    return VAE(config, encoder=Encoder(), decoder=Decoder()).eval()


@torch.no_grad()
def theirs(vae: Any, batch: Batch, samples: int) -> tuple[float, float]:
    """Return the mean -log p(x) of the images (get_nll returns +log p) and the processor time in seconds."""
    start = time.process_time()
    return -float(vae.get_nll(batch.x, n_samples=samples, batch_size=AT_A_TIME)), time.process_time() - start


def pythae_with_our_noise(vae: Any, batch: Batch, samples: int) -> float:
    """Return -log p(x) as computed by pythae with our noise."""
    numbers = [torch.arange(k, k + AT_A_TIME) for k in range(0, samples, AT_A_TIME)]
    seed, size = counter_rng.derive_seed(0, "importance"), vae.latent_dim
    draws = (
        counter_rng.normal(seed, counter_rng.pair_indices(row[None], some), size)
        for row in batch.index
        for some in numbers
    )

    def sample(mean: Tensor, std: Tensor) -> tuple[Tensor, Tensor]:
        eps = next(draws)
        return mean + eps * std, eps

    vae._sample_gauss = sample
    value, _ = theirs(vae, batch, samples)
    del vae._sample_gauss
    return value


def compare(run: Run, model: Autoencoder, count: int, samples: int) -> None:
    """Run both in turn, then print the values, the medians of the times and their ratio."""
    vae = as_pythae(model)
    batch = run.batch("test", spread_rows(count, len(run.data.images("test"))))
    ours(model, batch, AT_A_TIME)
    pairs = []
    for _ in range(ROUNDS):
        (estimate, a), (value, b) = ours(model, batch, samples), theirs(vae, batch, samples)
        pairs.append((a, b))
        print(f"ours {a:.2f} s, pythae {b:.2f} s, pythae / ours {b / a:.1f}", flush=True)
    a, b = (statistics.median(pair[k] for pair in pairs) for k in (0, 1))
    nll = estimate.nll.mean().item()
    print(f"{count} images, K = {samples}: ours {nll:.4f}, pythae {value:.4f} nats with its own noise")
    print(f"with our noise: pythae {pythae_with_our_noise(vae, batch, samples):.4f}, ours {nll:.4f} nats")
    print(f"medians: ours {a:.2f} s, pythae {b:.2f} s: pythae / ours {b / a:.1f}")


def main() -> None:
    """Measure our estimate on `--images` images, then compare it with pythae on `--compared` images."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument(
        "--samples", type=int, default=5000, help=f"a multiple of {AT_A_TIME}: pythae drops a remainder"
    )
    parser.add_argument("--compared", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    run = loading.open_run(options.run)
    model = run.model
    if not (model.has_prior and isinstance(model.family, Bernoulli)) or model.context_size:
        parser.error("this benchmark needs a run of model=vae with likelihood=bernoulli")
    batch = run.batch("test", spread_rows(options.images, len(run.prepare().data.images("test"))))
    ours(model, batch.chunks(2)[0], AT_A_TIME)
    reset_peak()
    before, start = memory("VmRSS"), time.perf_counter()
    estimate, seconds = ours(model, batch, options.samples)
    wall = time.perf_counter() - start
    error = estimate.nll.std().item() / len(estimate.nll) ** 0.5
    print(f"{run.title}: {options.images} images, K = {options.samples}, {options.threads} threads")
    print(f"-log p(x) <= {estimate.nll.mean():.3f} +- {error:.3f} nats, {seconds:.1f} s processor time, "
          f"{wall:.1f} s wall time, "
          f"peak memory {memory('VmHWM'):.0f} MiB, "
          f"{memory('VmHWM') - before:.0f} MiB above the start")  # fmt: skip
    if importlib.util.find_spec("pythae") is None:
        print("pythae is not installed, so nothing is compared. Install it with pip install pythae.")
    else:
        compare(run, model, options.compared, options.samples)


if __name__ == "__main__":
    main()
