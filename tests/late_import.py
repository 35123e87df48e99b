"""What an environment of the tests imports when its first episode begins."""
