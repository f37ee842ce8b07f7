"""Export: fitted transforms and network of a bundle as one graph for other runtimes, and the engines that run it."""
