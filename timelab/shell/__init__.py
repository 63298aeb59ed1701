"""Where a task runs: the pinned shell it enters and the sandbox around it."""
