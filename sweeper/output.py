"""Standard output, whose reader may leave: `| head`."""

from typing import TextIO

from rich.console import Console


class PlainConsole(Console):
    """Shows every text as it is: to rich, the brackets of a path would be markup."""

    def __init__(self, file: TextIO | None = None, width: int | None = None) -> None:
        """Writes nothing yet.

        Args:
            file: Where to; None for standard output.
            width: Columns; None for those of the terminal.
        """
        super().__init__(file=file, width=width, markup=False, emoji=False)


class Output(PlainConsole):
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
