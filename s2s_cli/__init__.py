"""s2s: recurrent sequence-to-sequence translation from the command line."""
