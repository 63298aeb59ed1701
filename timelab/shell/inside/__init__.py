"""What runs inside the sandbox: standard library only, started with `python -I -S` by `shell/launch.py`.

The modules here must not import timelab and must load fast: no `json`, `signal`, `socket`, `typing` (each costs
2–8 ms of a budget of 25).
"""
