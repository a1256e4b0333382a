"""What a person runs: `v05 replay`, `v05 demo`, `v05 priors evaluate`, `v05 v0`, `v05 doctor`, `v05 info`."""
