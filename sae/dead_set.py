"""Which latents are dead, without making any step wait for the answer.

How many they are must be known to the host, since it sets the shapes of what works on them. On
the CPU that costs nothing, and they are listed at every step. Elsewhere they are counted every few
steps and the list is used from the next count on, by when the number has long arrived: of the tens
of thousands of tokens that a latent must be silent for, it is a few hundred late. There the list
is filled up with living latents, so that few lengths occur: a CUDA graph is of one length.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

STATE_NAMES = ("dead", "dead_next")
"""Of a checkpoint: what is listed, and what the next renewal lists."""
FEWEST_LISTED = 128
"""Length of the shortest list that is filled up; the others are its doubles."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DeadLatents:
    """The dead latents, at least one."""

    listed: Tensor
    """Indices, int64 [N], all different: the dead latents, rising, then those that fill up."""
    are_dead: Tensor | None
    """Which of those are dead, bool [N]; None: all."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Count:
    """A list of dead latents whose length is on its way to the host."""

    order: Tensor
    """All latents, the dead ones first, int64 [latent_dim]."""
    number: Tensor
    """How many are dead, in the host's memory."""
    arrived: torch.cuda.Event | None
    """When it is there; None where there is nothing to wait for."""

    def dead(self) -> DeadLatents | None:
        """The dead ones; None where there are none."""
        if self.arrived is not None:
            self.arrived.synchronize()
        number = int(self.number)
        if number == 0:
            return None
        listed = self.order[: listed_latents(number)]
        are_dead = torch.arange(len(listed), device=listed.device) < number
        return DeadLatents(listed=listed, are_dead=are_dead)


def listed_latents(number: int) -> int:
    """Length of the list that holds so many dead latents, unless there are fewer latents."""
    return max(FEWEST_LISTED, 1 << (number - 1).bit_length())


class DeadSet:
    """The list of dead latents, renewed every so many steps."""

    def __init__(self, latent_dim: int, device: torch.device, every: int) -> None:
        """Starts with none dead.

        Args:
            latent_dim: Number of latents.
            device: Where they are.
            every: Steps between two renewals, from step 0 on. With 1 a step's list is of that
                step and not filled up, otherwise of the renewal before the last.
        """
        self._every = every
        self._listed_F = torch.zeros(latent_dim, dtype=torch.bool, device=device)
        self._counted_F = torch.zeros_like(self._listed_F)
        self._is_listed = False
        self._list: DeadLatents | None = None
        self._count: _Count | None = None

    def at(self, step: int, dead_F: Tensor) -> DeadLatents | None:
        """The latents that count as dead in a step; None where there are none.

        Args:
            step: The step.
            dead_F: Which are dead by now, bool [latent_dim].
        """
        if self._every == 1:
            dead = dead_F.nonzero().squeeze(1)
            return DeadLatents(listed=dead, are_dead=None) if len(dead) else None
        if step % self._every == 0:
            self._listed_F.copy_(self._counted_F)
            self._is_listed = self._count is not None
            self._list = None if self._count is None else self._count.dead()
            self._counted_F.copy_(dead_F)
            self._count = _count(dead_F)
        if not self._is_listed:  # a checkpoint has the masks alone
            self._is_listed, self._list = True, _count(self._listed_F).dead()
        return self._list

    def state_tensors(self) -> dict[str, Tensor]:
        """What a checkpoint must hold; nothing where every step renews."""
        if self._every == 1:
            return {}
        return dict(zip(STATE_NAMES, (self._listed_F, self._counted_F), strict=True))


def _count(dead_F: Tensor) -> _Count:
    is_cuda = dead_F.device.type == "cuda"
    number = torch.empty((), dtype=torch.int64, pin_memory=is_cuda)
    number.copy_(dead_F.sum(), non_blocking=True)
    arrived = None
    if is_cuda:
        arrived = torch.cuda.Event()
        arrived.record(torch.cuda.current_stream(dead_F.device))
    # Stable, so that they rise as nonzero's do.
    order_F = torch.argsort((~dead_F).to(torch.uint8), stable=True)
    return _Count(order=order_F, number=number, arrived=arrived)
