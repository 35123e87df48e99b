"""Experience: the transitions that agents learn from, and how minibatches are drawn from them."""
