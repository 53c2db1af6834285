"""The command line's larger groups, one file each, and what all commands share."""
