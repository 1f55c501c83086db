"""The limits behind the verdicts, read from YAML.

`thresholds.yaml` beside this file holds the defaults and says where each comes from.
"""

import dataclasses
import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeVar

import yaml

from analysis.errors import AnalysisError

DEFAULT_PATH: Final = Path(__file__).parent / "thresholds.yaml"


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnThresholds:
    """Limits of our own criteria."""

    tolerance: float
    """In band: |ln(l0 / target)| <= ln(1 + tolerance)."""
    l0_factor_failure: float
    """A failure beyond this factor from the target, either way."""
    fvu_warning: float
    """Fraction of variance unexplained from which a run is doubtful."""
    fvu_failure: float
    """Fraction of variance unexplained from which a run has collapsed."""
    dead_warning: float
    """Fraction of dead latents above which capacity is wasted."""
    dead_failure: float
    """Fraction of dead latents above which a run has failed."""
    alive_firing_warning: float
    """Share of the alive latents that fire on a token, above which the code is not sparse."""
    oscillation_warning: float
    """Spread of the loss about its trend over the last tenth of the run, from which it swings."""
    threshold_travel_warning: float
    """Part of the way of one learning rate a step, from which it limits JumpReLU's thresholds."""
    outlier_share_warning: float
    """Share of the squared norm in rows above ten median norms, above which they are measured."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GuideThresholds:
    """Limits of the guide's "Validation Metrics" and "Quick Reference Table"."""

    loss_success: float
    """Final loss / d_in below this."""
    loss_failure: float
    """Final loss / d_in above this."""
    l0_success: float
    """Relative L0 error within this."""
    l0_warning: float
    """Relative L0 error above this."""
    l0_factor_failure: float
    """L0 above this multiple of the target, or below the target divided by it."""
    dead_success_low: float
    """Lower end of the wanted fraction of dead latents."""
    dead_success_high: float
    """Upper end of it."""
    dead_failure: float
    """Fraction of dead latents below which the guide calls a run failed."""
    loss_change_success: float
    """Relative change of the loss over the last tenth of the run, below which it converged."""
    loss_change_warning: float
    """Relative change from which the loss moves "rapidly"; the guide gives no number."""
    loss_oscillation_failure: float
    """Spread of the loss about its trend from which it oscillates; the guide gives no number."""
    hours_low: float
    """Lower end of the guide's training time, on which nothing depends."""
    hours_high: float
    """Upper end of it."""
    alive_success: float
    """Alive latents ("active neurons") wanted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EarlyThresholds:
    """Limits of the guide's "Early Warning Signs"."""

    share: float
    """The share of a run from which they are held: "10k steps" of 100k."""
    loss: float
    """Loss / d_in above this."""
    l0_factor: float
    """L0 above this multiple of the target."""
    dead: float
    """Fraction of dead latents below this."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Thresholds:
    """All limits."""

    own: OwnThresholds
    """Ours, behind `verdict`."""
    guide: GuideThresholds
    """The guide's, behind `guide_verdict`."""
    early: EarlyThresholds
    """The guide's for a run under way."""

    def with_tolerance(self, tolerance: float) -> "Thresholds":
        """The same limits with another band around the target, such as a sweep's own.

        Raises:
            AnalysisError: The tolerance is not a positive number.
        """
        own = dataclasses.asdict(self.own) | {"tolerance": tolerance}
        return dataclasses.replace(self, own=_section("own", own, OwnThresholds))


Section = TypeVar("Section", OwnThresholds, GuideThresholds, EarlyThresholds)


def load_thresholds(path: Path = DEFAULT_PATH) -> Thresholds:
    """Reads limits from a YAML file of the same layout as the packaged one.

    Raises:
        AnalysisError: The file is missing or not YAML, a key is missing or unknown, or a limit is
            not a positive number.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        line = " ".join(str(error).split())
        raise AnalysisError(f"thresholds must be a readable YAML file, but: {line}") from None
    return thresholds_from(content)


@cache
def default_thresholds() -> Thresholds:
    """The packaged limits."""
    return load_thresholds()


def thresholds_from(content: Any) -> Thresholds:
    """Builds the limits from the nested mapping that the YAML file holds.

    Raises:
        AnalysisError: As `load_thresholds`.
    """
    sections = _require_keys("thresholds", content, Thresholds)
    return Thresholds(
        own=_section("own", sections["own"], OwnThresholds),
        guide=_section("guide", sections["guide"], GuideThresholds),
        early=_section("early", sections["early"], EarlyThresholds),
    )


def _section(name: str, content: Any, kind: type[Section]) -> Section:
    limits = _require_keys(name, content, kind)
    for key, value in limits.items():
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not math.isfinite(value) or value <= 0:
            raise AnalysisError(f"{name}.{key} must be a positive number, but got {value!r}.")
    return kind(**limits)


def _require_keys(name: str, content: Any, kind: type[Any]) -> Mapping[str, Any]:
    wanted = [field.name for field in dataclasses.fields(kind)]
    if not isinstance(content, Mapping):
        raise AnalysisError(f"{name} must hold the keys {', '.join(wanted)}, but got {content!r}.")
    for key in content:
        if key not in wanted:
            nearest = difflib.get_close_matches(str(key), wanted, n=1, cutoff=0.0)[0]
            raise AnalysisError(f"{name} has no key {key!r}; the nearest is {nearest!r}.")
    missing = [key for key in wanted if key not in content]
    if missing:
        raise AnalysisError(f"{name} must hold the key {missing[0]!r}, but it is missing.")
    return content
