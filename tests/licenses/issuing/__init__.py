"""Tests of issuing and changing licenses."""
