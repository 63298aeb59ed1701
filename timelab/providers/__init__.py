"""Who answers model calls."""
