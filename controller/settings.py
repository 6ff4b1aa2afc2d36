"""Flags, config file and environment, read once into one frozen Settings."""
