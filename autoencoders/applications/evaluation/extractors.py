"""Networks whose features FID, KID, density and coverage compare: a classifier, Inception-v3 or DINOv2."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from autoencoders.applications.label_classifiers import TrainedClassifier
from autoencoders.metrics.dinov2 import build_dinov2, prepare_dinov2
from autoencoders.metrics.inception import build_inception, prepare_inception
from autoencoders.runs.run import Run
from autoencoders.types import UserError

IMAGES_PER_CHUNK = 50
"""Number of images that a network processes at a time."""


class FeatureExtractor(Protocol):
    """Interface of a network that computes features of images."""

    @property
    def protocol(self) -> str:
        """Return the name of network and weights in the names of the metrics; empty for the classifier."""

    @property
    def space(self) -> str:
        """Return a short description of the features, for tables."""

    def features(self, x: Tensor) -> Tensor:
        """Return features (N, F) of images (N, C, H, W) in [0, 1], on the CPU."""


class Network(NamedTuple):
    """A published network.

    Attributes:
        name: name in the names of the metrics.
        weights: description of the weights that the user must provide.
        build: function of a state dict that returns the network.
        prepare: function of images (N, C, H, W) in [0, 1] that returns the input of the network.
        steps: description of `prepare`.
    """

    name: str
    weights: str
    build: Callable[[Mapping[str, Tensor]], nn.Module]
    prepare: Callable[[Tensor], Tensor]
    steps: str


PROTOCOLS = {
    "inception": Network(
        "inception-v3",
        "the Inception weights pt_inception-2015-12-05 of pytorch-fid or torch-fidelity (1008 classes)",
        build_inception, prepare_inception,
        "Inception-v3 (pt_inception-2015-12-05), images resized to 299 x 299 pixels, bilinear, as in pytorch-fid",
    ),
    "dinov2": Network(
        "dinov2",
        "a DINOv2 backbone ViT-S/14, ViT-B/14 or ViT-L/14 without registers, such as dinov2_vitl14_pretrain.pth",
        build_dinov2, prepare_dinov2,
        "the class token of DINOv2, images resized to 224 x 224 pixels, bicubic with antialiasing",
    ),
}  # fmt: skip
"""Word before the colon in the option `features` -> network."""


@dataclass
class PublishedNetwork:
    """A network with weights of the user.

    Attributes:
        network: the network.
        source: kind of network.
        device: device of the network.
        size: number F of features.
    """

    network: nn.Module
    source: Network
    device: torch.device
    size: int

    @property
    def protocol(self) -> str:
        """Return the name of network and weights in the names of the metrics."""
        return self.source.name + (f"-{self.size}" if self.source.name == "dinov2" else "")

    @property
    def space(self) -> str:
        """Return a description of the features, with their number, for tables."""
        return f"{self.size} features of {self.source.steps}"

    @torch.no_grad()
    def features(self, x: Tensor) -> Tensor:
        """Return features (N, F) of images (N, C, H, W), on the CPU."""
        chunks = (self.source.prepare(rows.clamp(0, 1).to(self.device)) for rows in x.split(IMAGES_PER_CHUNK))
        return torch.cat([self.network(chunk).float().cpu() for chunk in chunks])


def load_extractor(run: Run, features: str, classifier: TrainedClassifier | None) -> FeatureExtractor | None:
    """Return the network that the option `features` selects; None for `classifier` without a classifier.

    No code from the file of the weights is executed.

    Args:
        run: run whose images are compared.
        features: `classifier`, `inception:<path>` or `dinov2:<path>`.
        classifier: the classifier, or None.

    Raises:
        UserError: if the option is invalid, the file contains other weights, or the images have neither one nor three
            channels.
    """
    if features == "classifier":
        return classifier
    kind, colon, path = features.partition(":")
    if kind not in PROTOCOLS or not colon or not path:
        raise UserError(
            "features must be classifier, inception:<path of the weights> or dinov2:<path of the weights>, got "
            f"{features!r}. The weights are not downloaded."
        )
    if run.model.shape[0] not in (1, 3):
        raise UserError(
            f"features={kind} needs images with 1 or 3 channels, got {run.model.shape[0]}. Set features=classifier."
        )
    source = PROTOCOLS[kind]
    try:
        network = source.build(read_weights(Path(path).expanduser())).to(run.model.device)
        with torch.no_grad():
            example = source.prepare(torch.zeros(1, *run.model.shape, device=run.model.device))
            size = network(example).shape[1]
    except Exception as error:  # reading a file with other content can raise any type of exception
        reason = "it does not exist" if isinstance(error, FileNotFoundError) else f"it raises {type(error).__name__}"
        raise UserError(
            f"features={features} must name a file with {source.weights}, but {reason}. Choose such a file."
        ) from error
    return PublishedNetwork(network, source, run.model.device, size)


def read_weights(path: Path) -> dict[str, Any]:
    """Return the state dict in a file of PyTorch (`.pth`, `.pt`) or safetensors. No code from it is executed."""
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    return torch.load(path, map_location="cpu", weights_only=True)
