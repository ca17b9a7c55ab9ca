"""Tables as CSV, Markdown and HTML, the report's sections, runs read back from their folders. Not here: statistics."""
