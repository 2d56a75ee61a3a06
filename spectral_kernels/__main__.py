"""``python -m spectral_kernels`` is the command ``spectral-kernels``."""

from spectral_kernels.api.cli import main

raise SystemExit(main())
