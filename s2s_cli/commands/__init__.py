"""The subcommands: options in, objects wired, one result out."""
