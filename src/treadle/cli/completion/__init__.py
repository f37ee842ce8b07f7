"""Shell completion: from names of files, YAML and the parser alone, so that a TAB answers at once."""
