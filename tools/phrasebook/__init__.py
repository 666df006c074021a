"""The generator of the embedded phrasebook: `python -m tools.phrasebook`."""
