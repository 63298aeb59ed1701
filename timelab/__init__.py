"""Turns Git history into a lab notebook: commit a spec, and the commit runs it and records where results came from."""

__version__ = "0.1.0.dev0"
