"""Composition of run configurations without a command line."""


def composed(*overrides, folder):
    """Return the resolved configuration of a run in a folder, as plain containers."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from omegaconf import OmegaConf

    from autoencoders.config.compose import CONF

    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = hydra_compose("train", [*overrides, f"folder='{folder}'"])
    return OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
