"""Student search and distillation. Nothing here yet."""
