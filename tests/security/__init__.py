"""Tests of encryption and signatures."""
