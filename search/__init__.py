"""Searching a space for a student, and distilling it."""
