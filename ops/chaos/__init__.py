"""The longer faults, on demand (`make chaos`): the same bursts and clients as in `tests/faults`, for longer, with more of everything and
with the settings that a service starts with. Prints what it has seen as a table; what must hold is asserted as it goes."""
