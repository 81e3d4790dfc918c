"""Free energies: switching, windows, and what is estimated from them."""
