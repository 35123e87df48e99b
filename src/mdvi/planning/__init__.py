"""Planning with known models: solvers whose every answer is an interval that is proved."""
