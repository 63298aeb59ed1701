"""How each kind of task is done."""
