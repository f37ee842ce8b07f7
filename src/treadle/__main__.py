"""`python -m treadle` is `treadle`."""

import sys

from treadle.cli.main import main

sys.exit(main())
