"""Deep agents: the scheme with networks for q and for the policy."""
