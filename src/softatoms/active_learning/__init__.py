"""Active learning: look for what models do not know, label it, train on it, and look again."""
