"""Dashboards as code: a workspace and a report of W&B, made from the declaration of a sweep or an experiment."""
