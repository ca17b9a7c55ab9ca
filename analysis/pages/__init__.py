"""Tables as CSV, Markdown and HTML, the report's sections, and runs read back from their folders."""
