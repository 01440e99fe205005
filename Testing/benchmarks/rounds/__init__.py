"""Annotation rounds with a simulated person: what is corrected first, and what that is worth."""
