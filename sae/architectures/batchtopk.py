"""BatchTopK: the strongest k times batch latents of the whole batch are on.

Equations (Bussmann et al. 2024, arXiv 2412.06410; strength as in `sae.architectures.topk`):

    S = the k * batch largest z_bi ||W_dec,i|| of the batch;  f, x_hat and loss as for topk

A token alone has no batch, so inference replaces S by a threshold: the mean over training of the
smallest strength that was selected. That is a jumprelu with one threshold for all latents, and
is saved as one. Shape letters: B batch, F latent_dim.
"""

import torch
from torch import Tensor

from sae.architectures.base import InferenceWeights
from sae.architectures.config import SaeConfig
from sae.architectures.topk import TopKSae
from sae.workspace import Workspace

THRESHOLD_RATE = 0.05
"""Weight of a new batch in the threshold's moving average. SAELens's 0.01 lags 100 steps behind
weights that grow; the smallest of k times batch strengths varies little from batch to batch."""


class BatchTopKSae(TopKSae):
    """TopK with another selection, and the threshold that stands in for it later."""

    def __init__(
        self, config: SaeConfig, d_in: int, generator: torch.Generator, workspace: Workspace
    ) -> None:
        super().__init__(config, d_in, generator, workspace)
        self.threshold = torch.full((1,), -1.0, device=workspace.device)  # negative: none yet

    def select(self, z_BF: Tensor, norms_F: Tensor) -> Tensor:
        """f: the positive ones among the batch's strongest latents."""
        strength = self.strength(z_BF, norms_F).view(-1)
        count = max(1, round(self.last_target * len(z_BF)))
        top = torch.topk(strength, count, sorted=False)
        self._update_threshold(top.values)
        f_BF = self.workspace.buffer("f", *z_BF.shape).zero_()
        f_BF.view(-1).scatter_(0, top.indices, z_BF.view(-1)[top.indices])
        return f_BF.relu_()

    def _update_threshold(self, selected: Tensor) -> None:
        smallest = selected.masked_fill(selected <= 0, float("inf")).min().float()
        moved = self.threshold + THRESHOLD_RATE * (smallest - self.threshold)
        started = torch.where(self.threshold < 0, smallest, moved)
        self.threshold.copy_(torch.where(smallest.isinf(), self.threshold, started))

    def state_tensors(self) -> dict[str, Tensor]:
        """The parameters and the threshold."""
        return self.parameters | {"threshold": self.threshold}

    def inference_weights(self) -> InferenceWeights:
        """A jumprelu with unit decoder rows and one threshold."""
        tensors = self.unit_decoder_tensors()
        tensors["threshold"] = self.threshold.clamp(min=0).expand(len(tensors["b_enc"])).clone()
        return InferenceWeights(architecture="jumprelu", tensors=tensors, extra={})
