"""Parts of the simulator (../simulator.py)."""
