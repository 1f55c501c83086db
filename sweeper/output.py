"""Standard output, whose reader may leave: `| head`."""

from rich.console import Console


class Output(Console):
    """Ends what runs as Ctrl-C does where nobody reads on; rich would end it without a word."""

    def __init__(self, how_to_go_on: str) -> None:
        """Writes nothing yet.

        Args:
            how_to_go_on: What the user is told in that case.
        """
        super().__init__()
        self._how_to_go_on = how_to_go_on

    def on_broken_pipe(self) -> None:
        """Called when the pipe is closed.

        Raises:
            KeyboardInterrupt: Always.
        """
        try:
            super().on_broken_pipe()
        except SystemExit:
            raise KeyboardInterrupt(
                f"Nobody reads the output any more; {self._how_to_go_on}"
            ) from None
