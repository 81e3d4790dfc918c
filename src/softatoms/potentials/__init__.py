"""Energy functions of weighted graphs."""
