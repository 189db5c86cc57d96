"""The commands of the command line, one function each: (arguments) -> None. Imported when they are called."""
