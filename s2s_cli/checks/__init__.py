"""Rules about data: text and numbers in, findings out; nothing is printed."""
