"""Numeric precision of a run: whether the device has bfloat16 instructions, and the value of trainer.precision=auto."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from autoencoders.utils import distributed

AUTO = "auto"


def resolve_precision(trainer: Mapping[str, Any]) -> dict[str, Any]:
    """Return a trainer config in which `precision: auto` is replaced, and print the choice.

    The choice is `bf16-mixed` if the device of the run (a CUDA GPU or the CPU) has bfloat16 instructions, and
    `32-true` otherwise. Other values are not changed.

    Args:
        trainer: config of the run's trainer.
    """
    if trainer.get("precision") != AUTO:
        return dict(trainer)
    import torch

    if trainer.get("accelerator") in ("gpu", "cuda", "auto") and torch.cuda.is_available():
        device, has_instructions = "GPU", torch.cuda.is_bf16_supported(including_emulation=False)
    elif trainer.get("accelerator") == "mps" or (trainer.get("accelerator") == "auto" and torch.mps.is_available()):
        device, has_instructions = "GPU", False
    else:
        device, has_instructions = "processor", processor_has_bf16()
    precision = "bf16-mixed" if has_instructions else "32-true"
    if distributed.is_rank_zero():
        has = "has" if has_instructions else "has no"
        print(f"autoencoders: trainer.precision is {precision}, because the {device} {has} bfloat16 instructions.")
        sys.stdout.flush()
    return {**trainer, "precision": precision}


def processor_has_bf16() -> bool:
    """Return whether this processor multiplies bfloat16 matrices faster than float32 matrices (AVX512-BF16 or AMX)."""
    capabilities = _capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def _capabilities() -> dict[str, Any]:
    import torch

    return getattr(torch.cpu, "get_capabilities", dict)()  # missing in the oldest supported torch


def slow_precision_warning(trainer: Any) -> str | None:
    """Return a warning if a run uses bfloat16 on an x86 processor that has no bfloat16 instructions, else None.

    Args:
        trainer: Lightning's Trainer of the run.
    """
    if trainer.strategy.root_device.type != "cpu" or trainer.precision != "bf16-mixed":
        return None
    if _capabilities().get("architecture") != "x86_64" or processor_has_bf16():
        return None
    return (
        "trainer.precision=bf16-mixed is several times slower than trainer.precision=32-true on this processor, "
        "because the processor has no bfloat16 instructions. Set trainer.precision=32-true."
    )
