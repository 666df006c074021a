"""From the text of train to token ids on disk."""
