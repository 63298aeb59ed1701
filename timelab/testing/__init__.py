"""For authors of plugins: fakes at the protocols, and the suites that every implementation must pass (style K3, K4)."""
