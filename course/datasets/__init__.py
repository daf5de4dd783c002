"""The built-in data sets: where their files are, how to download them, and the check of every file."""
