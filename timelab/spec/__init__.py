"""What a run is asked to do: the model of a spec, and how its bytes become one."""
