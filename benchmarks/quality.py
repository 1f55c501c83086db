"""Held-out fvu of every architecture against the peers', at their best learning rate and equal L0.

python -m benchmarks.quality --minutes 4        again and again, until it says that all is done

In the environment of `make interop`. All of it takes hours on two cores; what is done is kept in
results/quality.jsonl, and the next command goes on. `--architectures gated --seeds 1 --rates 1e-3
--steps 300` takes minutes.

Both sides see the same canonical batches in the same order. Ours trains with its default recipe,
at one learning rate for all architectures (`--own-rate`);
a peer is tried at several learning rates, and at each its coefficient is moved until its fvu can
be interpolated to our L0. A rate whose first seed is more than 5 % above the best rate's is not
the best one: its other seeds are left out.
"""

import argparse
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory

from benchmarks.demo import HELD_OUT_TOKENS, demo_store, for_raw_rows, held_out
from benchmarks.equal_l0 import Point, fvu_at, reach
from benchmarks.markdown import table, write_result
from benchmarks.peers import PeerRun, is_installed, train_dictionary_learning, train_saelens
from benchmarks.piecewise import UNFINISHED, OutOfTimeError, Piecewise
from sae.activations import ActivationStore
from sae.architectures.config import Architecture, SaeConfig
from sae.trainer_config import TrainerConfig
from sae.training import TrainingRequest, train

LIMIT = 1.02
"""Our mean fvu may be so many times the peer's."""
HOPELESS = 1.05
"""A learning rate is dropped where its first seed's fvu is so many times the best rate's."""
PENALTY_ELASTICITY, K_ELASTICITY = -2.0, 1.0
"""d ln L0 / d ln coefficient, to begin with."""
RATE_EXPONENT = -0.45
"""d ln alpha / d ln(learning rate * steps) at equal L0 (measured: data/l0_budget)."""
FIRST_COEFFICIENT = {Architecture.jumprelu: 0.2}
"""Times sqrt(d_in / L0) at rate * steps = 0.6; where a search starts, no claim."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """What is compared, and at what cost."""

    latent_dim: int = 2048
    """Width."""
    target: float = 64.0
    """L0 that ours is brought near to; the peer's fvu is taken at our L0, whatever it is."""
    steps: int = 1000
    """Length of every run."""
    seeds: Sequence[int] = (0, 1, 2)
    """Of batches and initial weights."""
    rates: Sequence[float] = (3e-4, 1e-3, 3e-3)
    """The peer's learning rates."""
    own_rate: float = TrainerConfig().learning_rate
    """Our learning rate."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AtRate:
    """The peer at one learning rate."""

    fvu: float
    """Mean over the seeds, at our L0."""
    seeds: int
    """How many were trained."""


class Contest:
    """Ours and one peer, one architecture, all seeds."""

    def __init__(
        self,
        store: ActivationStore,
        architecture: Architecture,
        setting: Setting,
        work: Piecewise,
    ) -> None:
        self.store = store
        self.work = work
        self.architecture = architecture
        self.setting = setting
        self.trainer = TrainerConfig(
            total_steps=setting.steps,
            held_out_tokens=HELD_OUT_TOKENS,
            learning_rate=setting.own_rate,
        )
        self.elasticity = K_ELASTICITY if architecture.sets_l0 else PENALTY_ELASTICITY

    def ours(self) -> list[Point]:
        """One point a seed, its L0 near the target."""
        points: list[Point] = []
        start = self._first_coefficient()
        for seed in self.setting.seeds:

            def train_ours(coefficient: float, seed: int = seed) -> Point:
                return self._kept(self._ours(), seed, coefficient, self._train)

            if points or self.architecture.sets_l0:
                points.append(train_ours(start))
            else:
                points.append(reach(train_ours, start, self.elasticity, self.setting.target)[0])
                start = points[0].coefficient
        return points

    def peer_at_rates(self, library: str, ours: Sequence[Point]) -> list[AtRate]:
        """The peer at every learning rate, with all seeds where it may be the best one."""
        rates = self.setting.rates
        first = {rate: self.peer(library, rate, ours[:1]) for rate in rates}
        hopeless = HOPELESS * min(first.values())
        return [
            AtRate(fvu=first[rate], seeds=1)
            if first[rate] > hopeless
            else AtRate(fvu=self.peer(library, rate, ours), seeds=len(ours))
            for rate in rates
        ]

    def peer(self, library: str, rate: float, ours: Sequence[Point]) -> float:
        """The peer's mean fvu at our L0, at one learning rate; as many seeds as `ours` has."""
        fvus: list[float] = []
        start = ours[0].coefficient
        if not self.architecture.sets_l0:
            start *= (rate / self.trainer.learning_rate) ** RATE_EXPONENT
        for seed, our_point in zip(self.setting.seeds, ours, strict=False):

            def train_peer(coefficient: float, seed: int = seed) -> Point:
                run = partial(self._train_peer, library, rate)
                return self._kept(f"{library} {rate:g}", seed, coefficient, run)

            known = self._known(f"{library} {rate:g}", seed)
            points = reach(train_peer, start, self.elasticity, our_point.l0, known)
            fvus.append(fvu_at(points, our_point.l0))
            start = points[0].coefficient
        return fmean(fvus)

    def _ours(self) -> str:
        rate = self.setting.own_rate
        return "ours" if rate == TrainerConfig().learning_rate else f"ours at {rate:g}"

    def _first_coefficient(self) -> float:
        target = self.setting.target
        if self.architecture.sets_l0:
            return target
        budget = self.trainer.learning_rate * self.setting.steps / 0.6
        theory = (self.store.d_in / target) ** 0.5 * budget**RATE_EXPONENT
        return theory * FIRST_COEFFICIENT.get(self.architecture, 1.0)

    def _train(self, coefficient: float, seed: int) -> Point:
        by_target = self.architecture.sets_l0
        request = TrainingRequest(
            sae=SaeConfig(architecture=self.architecture, latent_dim=self.setting.latent_dim),
            trainer=self.trainer,
            alpha_canonical=0.0 if by_target else coefficient,
            target_l0_count=coefficient if by_target else None,
            seed=seed,
            device="cpu",
        )
        with TemporaryDirectory() as folder:
            result = train(request, self.store, Path(folder))
        if result.l0 is None or result.fvu is None:
            raise RuntimeError(f"{self.architecture} did not complete: {result.stop_reason}")
        return Point(coefficient=coefficient, l0=result.l0, fvu=result.fvu)

    def _train_peer(self, library: str, rate: float, coefficient: float, seed: int) -> Point:
        run = PeerRun(
            architecture=self.architecture,
            d_in=self.store.d_in,
            latent_dim=self.setting.latent_dim,
            coefficient=coefficient,
            trainer=replace(self.trainer, learning_rate=rate),
            seed=seed,
        )
        train_with = train_saelens if library == "sae_lens" else train_dictionary_learning
        batch_size = self.trainer.batch_size
        trained = train_with(run, lambda: self.store.train_batches(batch_size, seed))
        l0, fvu = held_out(for_raw_rows(trained, self.store), self.store)
        return Point(coefficient=coefficient, l0=l0, fvu=fvu)

    def _key(self, who: str, seed: int) -> str:
        """A row's key but for the coefficient."""
        setting = self.setting
        return (
            f"{self.architecture.value} {setting.latent_dim} {setting.steps} steps, {who}, "
            f"seed {seed}, coefficient "
        )

    def _known(self, who: str, seed: int) -> list[Point]:
        """The points that are kept from earlier."""
        start = self._key(who, seed)
        rows = [row for key, row in self.work.rows.items() if key.startswith(start)]
        return [
            Point(coefficient=row["coefficient"], l0=row["l0"], fvu=row["fvu"]) for row in rows
        ]

    def _kept(
        self, who: str, seed: int, coefficient: float, run: Callable[[float, int], Point]
    ) -> Point:
        key = f"{self._key(who, seed)}{coefficient:.6g}"
        row = self.work.rows.get(key)
        if row is None:
            self.work.check_time()
            row = self.work.add(key, asdict(run(coefficient, seed)))
        return Point(coefficient=coefficient, l0=row["l0"], fvu=row["fvu"])


def compare(
    store: ActivationStore,
    architectures: Sequence[Architecture],
    setting: Setting,
    work: Piecewise,
) -> tuple[str, bool]:
    """Trains what is not kept from earlier, and prints each run as it ends.

    Returns:
        The table, and whether every ratio is within the limit.

    Raises:
        OutOfTimeError: There is more to do.
    """
    rows: list[list[str]] = []
    is_good = True
    for architecture in architectures:
        contest = Contest(store, architecture, setting, work)
        ours = contest.ours()
        our_fvu = fmean(point.fvu for point in ours)
        for library in _libraries(architecture):
            rates = contest.peer_at_rates(library, ours)
            ratio = our_fvu / min(at_rate.fvu for at_rate in rates)
            is_good = is_good and ratio <= LIMIT
            rows.append(
                [
                    architecture,
                    library,
                    f"{fmean(point.l0 for point in ours):.1f}",
                    f"{our_fvu:.4f}",
                    *(_shown(rate) for rate in rates),
                    f"{ratio:.3f} ({'yes' if ratio <= LIMIT else 'NO'})",
                ]
            )
    at_rates = [f"its fvu at {rate:g}" for rate in setting.rates]
    header = ["architecture", "against", "L0", "our fvu", *at_rates, f"ours / best <= {LIMIT}"]
    return table(header, rows), is_good


def _shown(rate: AtRate) -> str:
    if math.isinf(rate.fvu):
        return "L0 not reached"
    return f"{rate.fvu:.4f}" if rate.seeds > 1 else f"{rate.fvu:.4f} (1 seed)"


def _libraries(architecture: Architecture) -> Iterator[str]:
    if is_installed("sae_lens"):
        yield "sae_lens"
    if architecture is Architecture.standard and is_installed("dictionary_learning"):
        yield "dictionary_learning"


def main() -> int:
    """Runs what is not yet run; returns the exit status."""
    options = _options(sys.argv[1:])
    if not is_installed("sae_lens"):
        print("sae_lens must be installed, but is not: make interop.")
        return 2
    setting = Setting(
        latent_dim=options.latent_dim,
        target=options.target,
        steps=options.steps,
        seeds=range(options.seeds),
        rates=options.rates,
        own_rate=options.own_rate,
    )
    architectures = [Architecture(name) for name in options.architectures]
    work = Piecewise("quality", options.minutes)
    try:
        rows, is_good = compare(demo_store(options.layer), architectures, setting, work)
    except OutOfTimeError:
        print("there is more to do: the same command goes on")
        return UNFINISHED
    body = (
        f"latent_dim {setting.latent_dim}, batch 512, {setting.steps} steps, {options.seeds} "
        f"seeds, learning rate of ours {options.own_rate:g}, layer {options.layer}."
        f"\n\n{rows}"
    )
    print(f"{body}\n\nwritten to {write_result('quality', 'Held-out fvu at equal L0', body)}")
    return 0 if is_good else 1


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=math.inf, help="end this piece after")
    names = [architecture.value for architecture in Architecture]
    parser.add_argument("--architectures", nargs="+", choices=names, default=names)
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    parser.add_argument("--rates", type=float, nargs="+", default=[3e-4, 1e-3, 3e-3])
    default = TrainerConfig().learning_rate
    parser.add_argument("--own-rate", type=float, default=default, help="our learning rate")
    parser.add_argument("--target", type=float, default=64.0, help="L0 to compare at")
    parser.add_argument("--latent-dim", type=int, default=2048)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--layer", type=int, default=3, help="of the demo's model")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
