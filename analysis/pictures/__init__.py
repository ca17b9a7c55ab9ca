"""Figures by matplotlib, of arrays and tables. What a picture shows is computed elsewhere."""
