"""A page to look at a run's model with, served on this machine; needs the extra `explore`."""
