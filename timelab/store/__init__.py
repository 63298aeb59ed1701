"""Where runs are kept: chain, folder, note and what is derived from them."""
