"""How Sphinx builds these pages: `make docs`. Nothing in the built pages is loaded from elsewhere."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))

import generate

project = "Treadle"
html_title = "Treadle"
extensions = ["myst_parser"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4  # links to headings, as GitHub makes them
html_theme = "furo"
html_static_path = ["style.css"]
html_css_files = ["style.css"]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
highlight_language = "none"
pygments_style = "friendly"
pygments_dark_style = "monokai"
nitpicky = True

generate.write_pages(Path(__file__).parent / "reference")
