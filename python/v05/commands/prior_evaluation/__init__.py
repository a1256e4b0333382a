"""`v05 priors evaluate`: how well priors predict, and what the baselines made of them are worth."""
