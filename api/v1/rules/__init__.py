"""Spec to findings: a module per family of rules, called by webhooks, the reconcile loop and lint."""
