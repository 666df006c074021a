"""Text files to batches."""
