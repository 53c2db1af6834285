"""The words of the field: plain data and pure functions, standard library only."""
