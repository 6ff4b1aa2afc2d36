"""Leader election (spec runtime §14): at most one replica may write, and it knows until when."""
