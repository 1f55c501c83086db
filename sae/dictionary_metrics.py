"""What a dictionary looks like: how dense its latents are, how alike, and how true.

Shape letters: D d_in, F latent_dim, T true features.
"""

import torch
from torch import Tensor

DENSITY_EDGES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
"""Firing frequencies that separate the histogram's bins."""
COMPARED = 4096
"""Rows that are compared with all others; all of them up to this width, else evenly spaced."""
RECALL_COSINE = 0.9
"""A true feature counts as found from this cosine on."""
SMALLEST_NORM = 1e-12


def density_histogram(firings_F: Tensor, tokens: int) -> dict[str, int]:
    """How many latents fire how often.

    Args:
        firings_F: On how many tokens each latent fired.
        tokens: How many there were.

    Returns:
        Counts of latents by firing frequency, rarest first, from "never" to "from 0.1"; a bin
        holds its lower edge.
    """
    frequency_F = firings_F.cpu().double() / tokens
    edges = torch.tensor(DENSITY_EDGES, dtype=torch.float64)
    bins_F = torch.bucketize(frequency_F, edges, right=True) + 1
    bins_F[frequency_F == 0] = 0
    counts = torch.bincount(bins_F, minlength=len(DENSITY_EDGES) + 2).tolist()
    names = ["never", f"below {DENSITY_EDGES[0]:g}", *(f"from {edge:g}" for edge in DENSITY_EDGES)]
    return dict(zip(names, counts, strict=True))


@torch.no_grad()
def mean_nearest_cosine(W_dec: Tensor, unit: float = 1.0) -> float | None:
    """Mean over latents of the largest cosine of a decoder row with any other row.

    Args:
        W_dec: Decoder [latent_dim, d_in]; above `COMPARED` rows so many of them, evenly spaced,
            are compared with all.
        unit: As for `row_norms`.

    Returns:
        The mean; None for a single latent, which has no other.
    """
    if len(W_dec) < 2:
        return None
    unit_FD = _unit_rows(W_dec, unit)
    picks = torch.linspace(0, len(W_dec) - 1, min(COMPARED, len(W_dec)), device=W_dec.device)
    nearest: list[Tensor] = []
    for own in picks.round().long().split(512):
        cosine = unit_FD[own] @ unit_FD.t()
        cosine[torch.arange(len(own), device=own.device), own] = -1
        nearest.append(cosine.amax(1))
    return float(torch.cat(nearest).mean())


@torch.no_grad()
def recovery(W_dec: Tensor, features_TD: Tensor, unit: float = 1.0) -> tuple[float, float]:
    """How well the decoder holds the true dictionary (Sharkey et al. 2022).

    Args:
        W_dec: Decoder [latent_dim, d_in].
        features_TD: The true features.
        unit: As for `row_norms`, of the decoder.

    Returns:
        The mean over true features of the largest cosine with any decoder row, and the part of
        them whose largest cosine is at least `RECALL_COSINE`.
    """
    nearest_T = (_unit_rows(features_TD) @ _unit_rows(W_dec, unit).t()).amax(1)
    return float(nearest_T.mean()), float((nearest_T >= RECALL_COSINE).float().mean())


def row_norms(rows_FD: Tensor, unit: float = 1.0) -> Tensor:
    """Norms of rows, [latent_dim].

    Args:
        rows_FD: The rows.
        unit: A power of two that brings them near one, so that their squares stay in float32's
            range; it rounds nothing.
    """
    return torch.linalg.vector_norm(rows_FD * unit, dim=1) / unit


def _unit_rows(rows_FD: Tensor, unit: float = 1.0) -> Tensor:
    return rows_FD / row_norms(rows_FD, unit).clamp_min(SMALLEST_NORM / unit).unsqueeze(1)
