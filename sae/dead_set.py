"""Which latents are dead, without making every step wait for the answer.

Listing them copies their number to the host, so that the host waits for the device. On the CPU
that costs nothing and is done at every step; elsewhere the list is kept for a few steps, of the
tens of thousands of tokens that a latent must be silent for.
"""

import torch
from torch import Tensor


class DeadSet:
    """The list of dead latents, renewed every so many steps."""

    def __init__(self, latent_dim: int, device: torch.device, every: int) -> None:
        """Starts with none dead.

        Args:
            latent_dim: Number of latents.
            device: Where they are.
            every: Steps between two renewals, from step 0 on.
        """
        self._every = every
        self._mask_F = torch.zeros(latent_dim, dtype=torch.bool, device=device)
        self._indices_N: Tensor | None = None

    def at(self, step: int, dead_F: Tensor) -> Tensor:
        """Indices of the latents that count as dead in a step, int64 [count].

        Args:
            step: The step.
            dead_F: Which are dead by now, bool [latent_dim].
        """
        if step % self._every == 0:
            self._mask_F.copy_(dead_F)
            self._indices_N = None
        if self._indices_N is None:
            self._indices_N = self._mask_F.nonzero().squeeze(1)
        return self._indices_N

    def state_tensors(self) -> dict[str, Tensor]:
        """What a checkpoint must hold; nothing where every step renews."""
        return {"dead": self._mask_F} if self._every > 1 else {}
