"""Fitting a model to a corpus."""
