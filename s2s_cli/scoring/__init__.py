"""Comparing translations with references."""
