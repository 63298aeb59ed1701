"""Measures timelab beside its peers, in one run, on one machine, as ratios: `python -m bench [--peers]`."""
