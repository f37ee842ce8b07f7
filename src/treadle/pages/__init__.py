"""HTML pages: templates, charts, and rendering."""
