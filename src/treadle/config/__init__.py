"""Composition: from `conf/`, params.yaml and overrides to plain values, each with the place that set it."""
