"""Studies: an experiment is a table of numbers, the figures drawn from it, and a page that shows both."""
