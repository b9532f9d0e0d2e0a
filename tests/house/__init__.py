"""What keeps the house as it was drawn: floors, files, first parameters, sizes, locks, image. Needs no database."""
