"""What we wrote and have not seen yet, by owner."""
