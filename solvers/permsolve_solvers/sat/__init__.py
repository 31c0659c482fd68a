"""CP-SAT, as solvers share it: models and a search that listens to the run."""
