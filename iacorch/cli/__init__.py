"""The command line: arguments in, text out. `main.py` has the table of commands; each is imported when it is called."""
