"""Writing a new project: its files from templates, its data, git and DVC; whole or not at all."""
