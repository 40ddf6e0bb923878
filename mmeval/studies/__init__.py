"""Studies: several runs that are planned and compared together."""
