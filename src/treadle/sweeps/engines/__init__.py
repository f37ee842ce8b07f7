"""Where the trials of a sweep run: on this machine, on SLURM, or on Ray; one module an engine, one protocol for all."""
