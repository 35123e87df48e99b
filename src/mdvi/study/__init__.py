"""Studies: an experiment as a file, the store of its results, and who trains what is missing."""
