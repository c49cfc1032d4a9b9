"""Five ways to train the same model on the same images, all timed by the same stopwatch; see `speed.py`."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import math
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import lightning.pytorch as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoencoders.data.groups import BatchGroup
from autoencoders.models.execution import StepCallback

QUIET = ("callbacks=none", "logger=none")
"""The overrides that turn (a) into (b)."""


class Workload(NamedTuple):
    """A model and its data.

    Attributes:
        title: its name in tables.
        overrides: overrides of the command.
        batch: images per step.
        latents: number of latents Z.
        steps: steps measured in one round, at most one epoch.
    """

    title: str
    overrides: tuple[str, ...]
    batch: int
    latents: int
    steps: int

    @property
    def stochastic(self) -> bool:
        """True for a VAE."""
        return "model=vae" in self.overrides


MLP = "model=vae", "data=mnist", "net.widths=[400]", "net.norm=none", "latent_dim=20"
CONV = "model=vae", "data=mnist", "net=conv", "latent_dim=20"
FACES = "model=ae", "data=lfw", "net=conv", "latent_dim=200", "data.flip=false"
WORKLOADS = {
    "mlp": Workload("MNIST, VAE 784-400-20", MLP, 128, 20, 429),
    "conv": Workload("MNIST, convolutional VAE", CONV, 128, 20, 80),
    "faces": Workload("LFW 64 x 64, convolutional AE", FACES, 64, 200, 48),
}


class Stopwatch:
    """Count and time steps. The first steps, which allocate memory and compile, are excluded.

    Args:
        warm: number of steps that are excluded.
        device: device that is synchronized before the clock is read.
    """

    def __init__(self, warm: int, device: str = "cpu") -> None:
        self.warm, self.device, self.steps = warm, device, 0
        self.first = self.start = self.end = 0.0

    def step(self) -> None:
        """Count one step."""
        self.steps += 1
        if self.steps == 1:
            self.first = time.time()
        if self.steps == self.warm:
            self.start = self._now()

    def stop(self) -> None:
        """End the timing after the last step."""
        self.end = self._now()

    def rate(self, batch: int) -> float:
        """Return the images per second."""
        return (self.steps - self.warm) * batch / (self.end - self.start)

    def _now(self) -> float:
        if self.device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()


class Span(StepCallback):
    """Time the steps of the first epoch and the complete fit of the real command.

    Args:
        out: file for the results of a run in a separate process; see `report`.
        warm: number of steps that are excluded.
    """

    watch: Stopwatch
    """The stopwatch of the latest run in this process."""

    def __init__(self, warm: int = 10, out: str | None = None) -> None:
        self.warm, self.out, self.training = warm, out, 0.0
        Span.watch = Stopwatch(warm)

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the stopwatch of the device."""
        Span.watch = Stopwatch(self.warm, pl_module.device.type)
        self.began = time.perf_counter()

    def on_step_end(self, trainer: pl.Trainer, model: Any, batch: Any, number: int, loss: Any) -> None:
        """Count a step; stop after the last step of the first epoch."""
        self.watch.step()
        plan = trainer.datamodule.plan
        last = trainer.is_last_batch if plan is None else number + 1 == plan.batches
        if trainer.current_epoch == 0 and last:
            self.watch.stop()

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Report the share of the fit outside of training."""
        clock = next(c for c in trainer.callbacks if type(c).__name__ == "Throughput")
        if self.out:
            fit = time.perf_counter() - self.began
            report(self.out, self.watch, boundary=1 - clock.seconds / fit, rate=clock.images_per_second)


class Alternation(StepCallback):
    """After each call of `training_step` in the real command, run as many steps of the bare loop, and time both.

    Both then run under the same conditions, so that their ratio is exact on a machine whose speed varies.
    """

    def __init__(self, loop: BareLoop) -> None:
        self.loop, self.real, self.bare, self.count = loop, 0.0, 0.0, 0
        self._mark, self._started = 0.0, False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the stopwatch."""
        self._mark = time.perf_counter()

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Run the bare loop. The first call, in which memory is allocated, is not timed."""
        middle, steps = time.perf_counter(), len(batch) if isinstance(batch, BatchGroup) else 1
        self.loop.run(steps)
        end = time.perf_counter()
        if self._started:
            self.real, self.bare = self.real + middle - self._mark, self.bare + end - middle
            self.count += steps
        self._started = True
        self._mark = time.perf_counter()


def report(out: str, watch: Stopwatch, **more: float) -> None:
    """Write the measurements of a separate process to a file."""
    Path(out).write_text(json.dumps({"first": watch.first, **more}))


# (a), (b) ---------------------------------------------------------------------------------------------------


def resolved_config(overrides: tuple[str, ...]) -> dict[str, Any]:
    """Compose the configuration of a command line."""
    from omegaconf import OmegaConf

    from autoencoders.config.compose import compose_config

    return OmegaConf.to_container(compose_config("train", overrides), resolve=True)


def real(work: Workload, steps: int, device: str, quiet: bool = False, callback: pl.Callback | None = None) -> float:
    """Return the images per second of the steps of the real command.

    Args:
        work: model and data.
        steps: number of steps.
        device: `cpu` or `cuda`.
        quiet: run without callbacks and logger.
        callback: further callback; None for a stopwatch.
    """
    from autoencoders.train import train

    Added.callback = callback or Span()
    with tempfile.TemporaryDirectory() as folder:
        config = resolved_config((*work.overrides, f"data.batch_size={work.batch}",
                                 f"trainer={device.replace('cuda', 'gpu')}",
                           "trainer.max_epochs=1", f"trainer.limit_train_batches={steps}", "test=false",
                           f"folder={folder}", *(QUIET if quiet else ())))  # fmt: skip
        config["callbacks"]["added"] = {"_target_": "contenders.added_callback"}
        with contextlib.redirect_stdout(io.StringIO()):
            train(config)
    return Span.watch.rate(work.batch) if callback is None else math.nan


def alternate(work: Workload, images: Tensor, steps: int) -> tuple[float, float]:
    """Return the images per second of the real command and of the bare loop, which alternate in one process."""
    callback = Alternation(BareLoop(work, images))
    real(work, steps, "cpu", callback=callback)
    return tuple(callback.count * work.batch / seconds for seconds in (callback.real, callback.bare))


class Added:
    """Holder of the callback that `real` adds to the callbacks of the configuration."""

    callback: pl.Callback


def added_callback() -> pl.Callback:
    """Return the callback of `Added`."""
    return Added.callback


# (c) --------------------------------------------------------------------------------------------------------


class Plain(nn.Module):
    """The network of the workload without the framework: x -> parameters of the posterior, z -> output."""

    def __init__(self, work: Workload) -> None:
        super().__init__()
        self.work = work
        if "net=conv" in work.overrides:
            from autoencoders.config import instantiate

            shape = (1, 28, 28) if "data=mnist" in work.overrides else (3, 64, 64)
            model = instantiate.build_model(resolved_config((*work.overrides, "folder=none")), shape, None)
            self.encode = nn.Sequential(model.encoder, model.head)
            self.decode = model.decoder
        else:
            hidden, pixels, latents = 400, 784, work.latents
            self.encode = nn.Sequential(
                nn.Flatten(), nn.Linear(pixels, hidden), nn.ReLU(), nn.Linear(hidden, 2 * latents)
            )
            self.decode = nn.Sequential(
                nn.Linear(latents, hidden), nn.ReLU(), nn.Linear(hidden, pixels), nn.Unflatten(1, (1, 28, 28))
            )

    def loss(self, x: Tensor) -> Tensor:
        """Return the loss in nats per image, without the constants of the Gaussian."""
        parameters = self.encode(x)
        if not self.work.stochastic:
            return 50 * F.mse_loss(torch.sigmoid(self.decode(parameters)), x, reduction="sum") / len(x)
        mean, log_variance = parameters.chunk(2, dim=1)
        logits = self.decode(mean + (0.5 * log_variance).exp() * torch.randn_like(mean))
        distortion = F.binary_cross_entropy_with_logits(logits, x, reduction="sum") / len(x)
        return distortion + 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum() / len(x)


def load_images(work: Workload) -> Tensor:
    """Load all training images as floats into memory."""
    from autoencoders.config import instantiate

    data = instantiate.build(resolved_config((*work.overrides, "folder=none"))["data"])
    data.prepare_data()
    data.setup("fit")
    return data.images("train").float() / 255


class BareLoop:
    """The fastest loop known to us on a CPU: images by index, and fused Adam."""

    def __init__(self, work: Workload, images: Tensor) -> None:
        self.net, self.images = Plain(work), images
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=1e-3, fused=True)
        self._chunks = itertools.cycle(torch.randperm(len(images)).split(work.batch)[:-1])

    def run(self, steps: int) -> None:
        """Run a number of steps."""
        for index in itertools.islice(self._chunks, steps):
            self.optimizer.zero_grad()
            self.net.loss(self.images.index_select(0, index)).backward()
            self.optimizer.step()


def bare(work: Workload, images: Tensor, steps: int, device: str, epochs: int = 1, warm: int = 10) -> Stopwatch:
    """Train with the fastest loop known to us: images by index, fused Adam, and a CUDA graph on a GPU."""
    net, images, watch = Plain(work).to(device), images.to(device), Stopwatch(warm, device)
    graphed = device == "cuda"
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, fused=True, capturable=graphed)

    def step(x: Tensor) -> None:
        optimizer.zero_grad()
        net.loss(x).backward()
        optimizer.step()

    run = capture_graph(step, images[: work.batch]) if graphed else step
    for _ in range(epochs):
        for index in torch.randperm(len(images)).to(device).split(work.batch)[:steps]:
            run(images.index_select(0, index))
            watch.step()
    watch.stop()
    return watch


def capture_graph(step: Callable[[Tensor], None], example: Tensor) -> Callable[[Tensor], None]:
    """Capture a step as a CUDA graph that is replayed on each batch; torch requires warm-up steps on another stream."""
    static, side, graph = example.clone(), torch.cuda.Stream(), torch.cuda.CUDAGraph()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step(static)
    torch.cuda.current_stream().wait_stream(side)
    with torch.cuda.graph(graph):
        step(static)

    def run(x: Tensor) -> None:
        static.copy_(x)
        graph.replay()

    return run


# (d) --------------------------------------------------------------------------------------------------------


def usual(work: Workload, steps: int, device: str, epochs: int = 1, warm: int = 10) -> Stopwatch:
    """Train as in many notebooks: a torchvision dataset that converts images one by one, a DataLoader, a loop."""
    from torch.utils.data import DataLoader
    from torchvision import datasets, transforms

    root, watch = os.environ["AUTOENCODERS_DATA"], Stopwatch(warm, device)
    if "data=mnist" in work.overrides:
        data = datasets.MNIST(root, transform=transforms.ToTensor())
    else:
        prepare = [transforms.CenterCrop(90), transforms.Resize(64), transforms.ToTensor()]
        data = datasets.ImageFolder(Path(root, "lfw", "lfw-deepfunneled"), transform=transforms.Compose(prepare))
    loader = DataLoader(data, batch_size=work.batch, shuffle=True, drop_last=True)
    net = Plain(work).to(device)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    for _ in range(epochs):
        for _, (x, _) in zip(range(steps), loader, strict=False):
            optimizer.zero_grad()
            net.loss(x.to(device)).backward()
            optimizer.step()
            watch.step()
    watch.stop()
    return watch


# (e) --------------------------------------------------------------------------------------------------------


def pythae(work: Workload, images: Tensor, steps: int, device: str, epochs: int = 1, warm: int = 10) -> Stopwatch:
    """Train with the model and trainer of pythae, with the same networks, on tensors in memory."""
    import logging

    from pythae.data.datasets import BaseDataset
    from pythae.models import AE, VAE, AEConfig, VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.trainers import BaseTrainer, BaseTrainerConfig
    from pythae.trainers.training_callbacks import TrainingCallback

    logging.getLogger("pythae").setLevel(logging.ERROR)
    plain, watch, shape = Plain(work), Stopwatch(warm, device), tuple(images.shape[1:])

    class Encoder(BaseEncoder):
        def __init__(self) -> None:
            super().__init__()
            self.net = plain.encode

        def forward(self, x: Tensor) -> ModelOutput:
            parameters = self.net(x)
            if not work.stochastic:
                return ModelOutput(embedding=parameters)
            mean, log_variance = parameters.chunk(2, dim=1)
            return ModelOutput(embedding=mean, log_covariance=log_variance)

    class Decoder(BaseDecoder):
        def __init__(self) -> None:
            super().__init__()
            self.net = plain.decode

        def forward(self, z: Tensor) -> ModelOutput:
            return ModelOutput(reconstruction=torch.sigmoid(self.net(z)))

    class Counting(TrainingCallback):
        def on_train_step_end(self, *_: Any, **__: Any) -> None:
            watch.step()
            if watch.steps == total:  # the trainer saves a model afterwards, which is not timed
                watch.stop()

    sizes = {"input_dim": shape, "latent_dim": work.latents}
    if work.stochastic:
        model = VAE(VAEConfig(reconstruction_loss="bce", **sizes), encoder=Encoder(), decoder=Decoder())
    else:
        model = AE(AEConfig(**sizes), encoder=Encoder(), decoder=Decoder())
    count = min(steps * work.batch, len(images) // work.batch * work.batch)
    total = epochs * count // work.batch
    data = BaseDataset(images[:count], torch.ones(count))
    with tempfile.TemporaryDirectory() as folder, silent():
        settings = BaseTrainerConfig(output_dir=folder, num_epochs=epochs, learning_rate=1e-3,
                                     per_device_train_batch_size=work.batch, no_cuda=device != "cuda")  # fmt: skip
        trainer = BaseTrainer(model=model, train_dataset=data, training_config=settings, callbacks=[Counting()])
        trainer.train()
    return watch


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Discard all output: progress bars take time too."""
    with open(os.devnull, "w") as null, contextlib.redirect_stdout(null), contextlib.redirect_stderr(null):
        yield
