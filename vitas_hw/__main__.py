"""``python -m vitas_hw``, and so ``torchrun -m -- vitas_hw``."""

import sys

from vitas_hw.cli.main import main

sys.exit(main())
