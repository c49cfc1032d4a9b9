"""Composition of run configurations without a command line."""


def composed(*overrides, folder):
    """Return the resolved configuration of a run in a folder, as plain containers."""
    from omegaconf import OmegaConf

    from autoencoders.config.compose import compose_config

    config = compose_config("train", [*overrides, f"folder='{folder}'"])
    return OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
