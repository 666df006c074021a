"""Code that is not part of the package: unproven ideas, each with a note on what is missing."""
