"""Order and disorder on a mixed sublattice: ordered variants, disordered states, experiments.

See ``docs/order.md``.
"""
