"""What users write and read: data, and the checks on it."""
