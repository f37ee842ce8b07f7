"""Compose, check, freeze, build: from `conf/` to one experiment that nothing downstream reads again."""
