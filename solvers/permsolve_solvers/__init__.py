"""The built-in solvers of permsolve; use them by name through :func:`permsolve.solve`."""
