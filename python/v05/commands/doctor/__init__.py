"""`v05 doctor`: which trainers are installed, whether v05 fits them, and what to write to turn it on."""
