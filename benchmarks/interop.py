"""Do the real SAELens and dictionary_learning agree with us? `make interop` installs and asks.

python -m benchmarks.interop            what we write loads there and computes the same, and an
                                        alpha converted to their units gives our L0
python -m benchmarks.interop --quality  our fvu against theirs at equal L0: hours on two cores;
                                        --seeds 1 --rates 1e-3 --steps 300 takes minutes

Exit status 1 where something disagrees, 2 where no library is installed.
"""

import argparse
import sys
import time
from collections.abc import Sequence

from benchmarks.demo import demo_store
from benchmarks.interop_alpha import check_alphas
from benchmarks.interop_files import check_files
from benchmarks.markdown import write_result
from benchmarks.peers import is_installed
from benchmarks.quality import Setting, compare
from sae.activations import ActivationStore
from sae.architectures.config import Architecture
from sae.trainer_config import TrainerConfig


def main() -> int:
    """Runs what was asked for; returns the exit status."""
    options = _options(sys.argv[1:])
    if not any(is_installed(library) for library in ("sae_lens", "dictionary_learning")):
        print("sae_lens or dictionary_learning must be installed, but neither is: make interop.")
        return 2
    started = time.monotonic()
    store = demo_store(options.layer)
    ask = _quality if options.quality else _agreement
    body, agrees = ask(store, options)
    body += f"\n\n{store.name}; {time.monotonic() - started:.0f} s in all."
    print(body)
    path = write_result("quality" if options.quality else "interop", ask.__doc__ or "", body)
    print(f"\nwritten to {path}")
    return 0 if agrees else 1


def _agreement(store: ActivationStore, options: argparse.Namespace) -> tuple[str, bool]:
    """Agreement with the peers: files, and alphas."""
    files, files_agree = check_files(store, options.file_steps)
    recipe = TrainerConfig(total_steps=options.steps or 600)
    latent_dim = options.latent_dim or 1024
    alphas, alphas_agree = check_alphas(store, options.alpha, latent_dim, recipe, seed=0)
    body = (
        f"## Files\n\nTrained for {options.file_steps} steps; largest relative difference of a "
        f"row.\n\n{files}\n\n## One alpha in everybody's units\n\nlatent_dim {latent_dim}, "
        f"{recipe.total_steps} steps of {recipe.batch_size}, learning rate "
        f"{recipe.learning_rate:g}, layer {options.layer}.\n\n{alphas}"
    )
    return body, files_agree and alphas_agree


def _quality(store: ActivationStore, options: argparse.Namespace) -> tuple[str, bool]:
    """Held-out fvu against the peers' at equal L0."""
    setting = Setting(
        latent_dim=options.latent_dim or 2048,
        target=options.target,
        steps=options.steps or 1000,
        seeds=range(options.seeds),
        rates=options.rates,
    )
    architectures = [Architecture(name) for name in options.architectures]
    rows, is_good = compare(store, architectures, setting)
    intro = (
        f"latent_dim {setting.latent_dim}, batch 512, {setting.steps} steps, "
        f"{options.seeds} seeds, learning rate of ours {TrainerConfig().learning_rate:g}."
    )
    return f"{intro}\n\n{rows}", is_good


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--layer", type=int, default=3, help="of the demo's model")
    parser.add_argument("--latent-dim", type=int, help="1024; 2048 with --quality")
    parser.add_argument("--steps", type=int, help="600; 1000 with --quality")
    parser.add_argument("--file-steps", type=int, default=100, help="of the SAEs that are read")
    parser.add_argument("--alpha", type=float, default=2.5, help="to convert, canonical units")
    quality = parser.add_argument_group("with --quality")
    quality.add_argument("--quality", action="store_true", help="compare fvu at equal L0")
    quality.add_argument("--seeds", type=int, default=3, help="how many")
    quality.add_argument("--rates", type=float, nargs="+", default=[3e-4, 1e-3, 3e-3])
    quality.add_argument("--target", type=float, default=64.0, help="L0 to compare at")
    names = [str(architecture) for architecture in Architecture]
    quality.add_argument("--architectures", nargs="+", choices=names, default=names)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
