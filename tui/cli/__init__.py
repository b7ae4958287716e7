"""The command line `nightschool`."""
