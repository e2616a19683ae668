"""What commands share: the console, progress bars, options, completion, faults. Imports cli.tables, foundation."""
