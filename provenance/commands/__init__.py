"""One module per command: options, one call into the package, printing."""
