"""`v05 demo`: a small transformer learns arithmetic with TRL, with V_0.5 and without."""
