"""How fast the whole system is: beside its ceilings and its peers, in one run."""
