"""SAELens 6.54's training step for its standard SAE, transcribed, so that a GPU needs no SAELens.

From `SAETrainer._train_step` and `StandardTrainingSAE`: forward pass and sparsity statistics
under autocast, backward, the norm clipped at 1, torch's default Adam. Schedules and logging are
left out. Equal to the library's step: `.venv-interop/bin/python -m benchmarks.saelens_step`.
"""

import sys
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor


class SaeLensStep:
    """Weights, Adam and the step."""

    def __init__(
        self, start: Mapping[str, Tensor], coefficient: float, rate: float, *, autocast: bool
    ) -> None:
        """Starts from a copy of the weights.

        Args:
            start: W_enc, W_dec, b_enc and b_dec, on the device.
            coefficient: Of the L1 penalty.
            rate: Adam's step size.
            autocast: SAELens's switch for bf16 products.
        """
        self.weights = {
            name: torch.nn.Parameter(value.detach().clone().contiguous())
            for name, value in start.items()
        }
        self.coefficient, self.autocast = coefficient, autocast
        self.optimizer = torch.optim.Adam(self.weights.values(), lr=rate, betas=(0.9, 0.999))
        latents, device = len(self.weights["b_enc"]), self.weights["b_enc"].device
        self.passes_since_fired_F = torch.zeros(latents, device=device)
        self.firings_F = torch.zeros(latents, device=device)

    def __call__(self, x_BD: Tensor) -> None:
        """One step on canonical activations."""
        weights = self.weights
        with torch.autocast(x_BD.device.type, dtype=torch.bfloat16, enabled=self.autocast):
            inputs_BD = x_BD - weights["b_dec"] * True
            f_BF = torch.relu(inputs_BD @ weights["W_enc"] + weights["b_enc"])
            x_hat_BD = f_BF @ weights["W_dec"] + weights["b_dec"]
            squares_BD = torch.nn.functional.mse_loss(x_hat_BD, x_BD, reduction="none")
            sparsity_B = (f_BF * weights["W_dec"].norm(dim=1)).norm(p=1.0, dim=-1)
            loss = squares_BD.sum(dim=-1).mean() + (self.coefficient * sparsity_B).mean()
            with torch.no_grad():
                fired_BF = f_BF.bool().float()
                self.passes_since_fired_F += 1
                self.passes_since_fired_F[fired_BF.sum(-2).bool()] = 0
                self.firings_F += fired_BF.sum(0)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights.values(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()


def largest_difference(steps: int = 5, *, autocast: bool) -> float:
    """Largest distance of any weight from the library's after some steps, over its norm."""
    from benchmarks.peers import PeerRun, saelens_trainer
    from sae.architectures.config import Architecture
    from sae.trainer_config import TrainerConfig

    trainer = TrainerConfig(
        batch_size=64,
        total_steps=1000,
        learning_rate_warmup=0,
        alpha_warmup=0,
        decay_fraction=0,
    )
    run = PeerRun(
        architecture=Architecture.standard,
        d_in=32,
        latent_dim=256,
        coefficient=2.0,
        trainer=trainer,
    )
    batches = [torch.randn(64, 32, generator=torch.Generator().manual_seed(n)) for n in range(5)]
    theirs = saelens_trainer(run, _endless(batches), autocast=autocast)
    start = dict(theirs.sae.named_parameters())
    ours = SaeLensStep(start, run.coefficient, trainer.learning_rate, autocast=autocast)
    for number in range(steps):
        theirs.step(batches[number % len(batches)])
        theirs.n_training_steps += 1
        ours(batches[number % len(batches)])
    return max(
        float((ours.weights[name] - value).detach().norm() / value.detach().norm())
        for name, value in start.items()
    )


def _endless(batches: list[Tensor]) -> Iterator[Tensor]:
    while True:
        yield from batches


def main() -> int:
    """Holds the transcription against the library; returns the exit status."""
    differences = {autocast: largest_difference(autocast=autocast) for autocast in (False, True)}
    for autocast, difference in differences.items():
        print(f"autocast {autocast}: weights differ by at most {difference:.1e} of their norm")
    return 0 if max(differences.values()) < 1e-6 else 1


if __name__ == "__main__":
    sys.exit(main())
