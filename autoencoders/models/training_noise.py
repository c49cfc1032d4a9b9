"""Random numbers of the training batches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from autoencoders.models.prior_codes import PriorNoise, counter_noise
from autoencoders.utils import counter_rng

if TYPE_CHECKING:
    from autoencoders.models.autoencoder import Autoencoder


class TrainingNoise:
    """Random numbers that depend only on the seed, the epoch and the index of the batch.

    A resumed run therefore needs no saved generator state. The numbers of an image do not depend on the number of
    processes.

    Args:
        seed: seed of the random numbers.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._generator: torch.Generator | None = None

    def posterior(self, model: Autoencoder, size: int, number: int) -> Tensor | None:
        """Return the noise for sampling z in a batch.

        Every process generates the noise for the images of all processes and selects the noise for its own images.

        Args:
            model: model that is trained.
            size: B, the number of images of this process.
            number: index of the batch in the epoch.

        Returns:
            Noise (B, Z) for one sample per image, (B, K, Z) for K samples per image, or None if z is not sampled.
        """
        if not model.posteriors.stochastic:
            return None
        device, world = model.device, model.trainer.world_size
        if self._generator is None or self._generator.device != device:
            self._generator = torch.Generator(device)
        self._generator.manual_seed(counter_rng.derive_seed(self.seed, "train", model.current_epoch, number))
        samples = [model.objective.samples] if model.objective.samples > 1 else []
        shape = (size * world, *samples, model.latent_dim)
        eps = model.posteriors.fresh(*shape, generator=self._generator, device=device)
        return eps if world == 1 else eps[model.global_rank :: world]

    def prior(self, model: Autoencoder, size: int, number: int) -> PriorNoise:
        """Return random numbers for samples of the prior in a batch; see `posterior` for the arguments."""
        seed = counter_rng.derive_seed(self.seed, "prior", model.current_epoch, number)
        rows = torch.arange(size, device=model.device) * model.trainer.world_size + model.global_rank
        return counter_noise(seed, rows, model.latent_dim)
