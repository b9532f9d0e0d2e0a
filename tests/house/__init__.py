"""Tests of the source and the shipped files: layers, sizes, words, lock files, image. They need no database."""
