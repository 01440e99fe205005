"""Tables (a) to (d) of the seed methods; `seed_methods.py` runs them."""
