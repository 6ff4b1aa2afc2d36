"""A module per batch scheduler, behind one interface."""
