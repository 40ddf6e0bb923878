"""GLAMI-1M as it is published: where its files are, what a row says, and the examples made of them."""
