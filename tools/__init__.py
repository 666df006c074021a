"""Programs for people who work on s2s; not shipped."""
