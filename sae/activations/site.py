"""Where in a model activations are taken."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Site:
    """The output of one module."""

    module: str
    """Its name in the network, such as "encoder.layer.2"."""
    layer: int | None = None
    """The block it is, counted from 1; None for any other module."""

    @property
    def label(self) -> str:
        """For people: "layer 3", or the module's name."""
        return self.module if self.layer is None else f"layer {self.layer}"

    @property
    def folder(self) -> str:
        """Name of its folder: layer_3, or the module's name."""
        return self.module if self.layer is None else f"layer_{self.layer}"

    @property
    def recipe(self) -> dict[str, int | str]:
        """What a recipe says of it."""
        return {"module": self.module} if self.layer is None else {"layer": self.layer}
