"""Thermal conductivity from the fluctuations of the heat flux.

Runs of many replicas, correlation functions, cepstral analysis, and what has to hold before a
number is worth printing. See ``docs/transport.md``.
"""
