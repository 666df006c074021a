"""How each tool is told to do the work, and how its log is read."""
