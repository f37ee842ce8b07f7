"""HTML pages: templates, charts, and how a template is filled."""
