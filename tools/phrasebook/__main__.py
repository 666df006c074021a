"""Expand `phrasebook.txt` into the tables that the package ships.

    python -m tools.phrasebook

writes `s2s_cli/data/phrasebook/{train,valid,test}.tsv.gz`: a Chinese sentence, a TAB and its
English translation on each line.
"""

import argparse
from pathlib import Path

from s2s_cli.storage.atomic import replacing
from tools.phrasebook.expand import expand_phrasebook

TABLES = Path(__file__).parents[2] / "s2s_cli" / "data" / "phrasebook"


def write_tables(folder: Path) -> None:
    """Write the three splits of the phrasebook; the same bytes each time."""
    for name, pairs in expand_phrasebook()._asdict().items():
        with replacing(folder / f"{name}.tsv.gz") as file:
            file.write("".join(f"{zh}\t{en}\n" for zh, en in pairs).encode())


def main() -> None:
    """Write the tables into the package, or into another folder."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, default=TABLES, help="folder (default: %(default)s)")
    write_tables(parser.parse_args().output)


if __name__ == "__main__":
    main()
