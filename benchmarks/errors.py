"""What goes wrong with a tool that is measured."""

from s2s_cli.errors import S2SError


class RunError(S2SError):
    """A system failed at its work."""
