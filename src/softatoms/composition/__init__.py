"""Solid solutions over a grid of compositions: tasks, relaxed cells, controls."""
