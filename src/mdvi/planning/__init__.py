"""Planning with known models: the paper's loop, its error models, and its theorems evaluated on a trace."""
