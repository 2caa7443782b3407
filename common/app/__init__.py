"""The command line, reports and exported files."""
