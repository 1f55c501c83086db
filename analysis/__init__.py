"""From trials to a law with honest intervals: tables, fits, audit and report."""
