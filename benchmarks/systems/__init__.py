"""The commands of each toolkit, and how its log is read."""
