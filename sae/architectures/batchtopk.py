"""BatchTopK: the strongest k times batch latents of the whole batch are on.

Equations (Bussmann et al. 2024, arXiv 2412.06410; strength as in `sae.architectures.topk`):

    S = the k * batch largest z_bi ||W_dec,i|| of the batch;  f, x_hat and loss as for topk

A token alone has no batch, so inference replaces S by a threshold: the mean over batches of the
smallest strength that was selected. That is a jumprelu with one threshold for all latents, and
is saved as one. While training it is a moving average; what is saved is that of batches after the
last step, since an average lags behind weights, and a k, that still move. Shape letters: B batch,
F latent_dim.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from sae.architectures.base import InferenceWeights, StepSettings, StepStatistics
from sae.architectures.config import SaeConfig
from sae.architectures.topk import TopKSae
from sae.workspace import Workspace

if TYPE_CHECKING:
    from sae.architectures.compiled import CompiledStep

SETTLING_TOKENS = 8192
"""That decide the threshold in the end; assumption: enough that held-out tokens differ more."""
THRESHOLD_RATE = 0.05
"""Weight of a new batch in the threshold's moving average. SAELens's 0.01 lags 100 steps behind
weights that grow; the smallest of k times batch strengths varies little from batch to batch."""


class BatchTopKSae(TopKSae):
    """TopK with another selection, and the threshold that stands in for it later."""

    settling_tokens: ClassVar[int] = SETTLING_TOKENS

    def __init__(
        self, config: SaeConfig, d_in: int, generator: torch.Generator, workspace: Workspace
    ) -> None:
        super().__init__(config, d_in, generator, workspace)
        self.threshold = torch.full((1,), -1.0, device=workspace.device)  # negative: none yet
        self._smallest = torch.full((1,), float("inf"), device=workspace.device)
        self._selected: Tensor | None = None

    def compute_gradients(self, x_BD: Tensor, settings: StepSettings) -> StepStatistics:
        """See `TrainableSae.compute_gradients`."""
        self._selected = settings.selected
        return super().compute_gradients(x_BD, settings)

    def survey(self, parts: Sequence[Tensor], settings: StepSettings) -> list[StepSettings]:
        """Selects over the whole batch, of which each part keeps the strongest it might need."""
        norms_F = self.decoder_norms()
        count = self._count(settings.target_l0, sum(len(part_BD) for part_BD in parts))
        values: list[Tensor] = []
        indices: list[Tensor] = []
        for part_BD in parts:
            strength = self._strength(self.encode_linear(part_BD)[0], norms_F)
            top = torch.topk(strength, min(count, len(strength)), sorted=False)
            values.append(top.values)
            indices.append(top.indices)
        whole = torch.topk(torch.cat(values), count, sorted=False)
        self._smallest = _smallest_positive(whole.values)
        chosen = torch.zeros(sum(map(len, values)), dtype=torch.bool, device=norms_F.device)
        chosen[whole.indices] = True
        masks = chosen.split([len(part) for part in values])
        return [
            replace(settings, selected=part[mask])
            for part, mask in zip(indices, masks, strict=True)
        ]

    def select(self, z_BF: Tensor, norms_F: Tensor) -> Tensor:
        """f: the positive ones among the batch's strongest latents."""
        indices = self._selected
        if indices is None:
            strength = self._strength(z_BF, norms_F)
            count = self._count(self.last_target, len(z_BF))
            top = torch.topk(strength, count, sorted=False)
            self._smallest, indices = _smallest_positive(top.values), top.indices
        f_BF = self.latent_buffer("f", len(z_BF)).zero_()
        f_BF.t().view(-1).scatter_(0, indices, z_BF.t().view(-1)[indices])
        return f_BF.relu_()

    def select_compiled(self, step: "CompiledStep", norms_F: Tensor) -> tuple[Tensor, Tensor]:
        """As `select`, in place; returns each latent's firings and sum over tokens."""
        from sae.kernels.strongest import batch_threshold

        bias_F, count = self.parameters["b_enc"], self._count(self.last_target, len(step.tokens))
        z_FB = step.latents.t()
        threshold, smallest = batch_threshold(step.table, z_FB, bias_F, norms_F, count)
        self._smallest = torch.full((1,), smallest)
        return step.activate(threshold / norms_F)

    def _strength(self, z_BF: Tensor, norms_F: Tensor) -> Tensor:
        """z_i ||W_dec,i||, as it lies in memory: latent by latent, [latent_dim * batch]."""
        norms_F1 = self.workspace.cast("norms", norms_F).unsqueeze(1)
        strength_FB = self.workspace.buffer("strength", *z_BF.t().shape)
        return torch.mul(z_BF.t(), norms_F1, out=strength_FB).view(-1)

    @staticmethod
    def _count(target: float | None, tokens: int) -> int:
        return max(1, round((target or 1.0) * tokens))

    def after_update(self) -> None:
        """Moves the threshold towards the batch's smallest selected strength."""
        self._move_threshold(THRESHOLD_RATE)

    def settle(self, x_BD: Tensor, settings: StepSettings, number: int) -> None:
        """Makes the threshold the mean of those of batches after the last step."""
        self.survey([x_BD], settings)
        self._move_threshold(1 / (number + 1))

    def _move_threshold(self, rate: float) -> None:
        smallest = self._smallest
        moved = self.threshold + rate * (smallest - self.threshold)
        started = torch.where(self.threshold < 0, smallest, moved)
        self.threshold.copy_(torch.where(smallest.isinf(), self.threshold, started))

    def state_tensors(self) -> dict[str, Tensor]:
        """The parameters and the threshold."""
        return super().state_tensors() | {"threshold": self.threshold}

    def inference_weights(self) -> InferenceWeights:
        """A jumprelu with unit decoder rows and one threshold."""
        tensors = self.unit_decoder_tensors()
        tensors["threshold"] = self.threshold.clamp(min=0).expand(len(tensors["b_enc"])).clone()
        return InferenceWeights(architecture="jumprelu", tensors=tensors, extra={})


def _smallest_positive(selected: Tensor) -> Tensor:
    """The smallest positive strength, float32 [1]; infinite where there is none."""
    return selected.masked_fill(selected <= 0, float("inf")).min().float().view(1)


ARCHITECTURE = BatchTopKSae
