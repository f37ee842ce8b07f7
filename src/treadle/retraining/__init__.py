"""Retraining: when the champion is trained again, the gate that lets the new model take over, and the way back."""

FOLDER = "retraining"  # of a project: the decisions about each model, a file each; it belongs in git
