"""Shell completion: from file names, YAML and the parser alone, so that a TAB answers at once."""
