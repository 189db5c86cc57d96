"""Readers: one kind of source each, to examples with their labels, names and parts where the source states them."""
