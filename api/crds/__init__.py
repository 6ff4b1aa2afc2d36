"""The generated CustomResourceDefinitions as package data."""
