"""Filters and rankings of scanned compositions."""
