"""Errors of the systems that are measured."""

from s2s_cli.errors import S2SError


class RunError(S2SError):
    """A system failed."""
