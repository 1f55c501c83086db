"""Everything of a run that changes from step to step, so that a checkpoint holds all of it."""

import torch
from torch import Tensor

from sae.activations import ActivationStore
from sae.architectures.registry import build
from sae.device import has_native_bfloat16
from sae.optimizer import Adam
from sae.seeding import generator
from sae.trace import Trace
from sae.trainer_config import Precision
from sae.training_result import TrainingRequest
from sae.workspace import Workspace


class RunState:
    """Model, optimizer and trace of one run."""

    def __init__(
        self, request: TrainingRequest, store: ActivationStore, device: torch.device
    ) -> None:
        """Starts at step 0 with the seed's initial weights."""
        dtype = product_dtype(request.trainer.precision, device)
        self.model = build(
            request.sae, store.d_in, generator(request.seed, "init"), Workspace(dtype, device)
        )
        self.optimizer = Adam(self.model.parameters, self.model.gradients)
        self.trace = Trace(request.trainer.total_steps, request.sae.latent_dim, device)
        self.step = 0

    def tensors(self) -> dict[str, Tensor]:
        """The live tensors, for a checkpoint to save or to overwrite."""
        return {
            **self.model.state_tensors(),
            **self.optimizer.state_tensors(),
            **self.trace.state_tensors(),
        }


def product_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """The type that matrix products run in."""
    if precision is Precision.auto:
        return torch.bfloat16 if has_native_bfloat16(device) else torch.float32
    return torch.bfloat16 if precision is Precision.bf16 else torch.float32
