"""Surfaces and clusters in contact with reservoirs of atoms."""
