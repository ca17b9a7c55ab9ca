"""Rows on disk: tables written whole and read back checked, and what a run left behind. No statistics."""
