"""`python -m s2s_cli` is the same as `s2s`."""

from s2s_cli.cli import main

if __name__ == "__main__":
    main()
