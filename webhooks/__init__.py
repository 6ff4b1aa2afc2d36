"""Admission: AdmissionReview in and out, a module per kind, the HTTPS face."""
