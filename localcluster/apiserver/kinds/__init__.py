"""How objects of each built-in kind are completed and checked: a module per kind, or per family of small ones."""
