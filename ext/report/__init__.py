"""Reports to hand on: a page on one dump, and one on a folder of them."""
