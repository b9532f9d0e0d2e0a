"""Tests of presenting and accepting agreements."""
