"""What a score depends on beside its candidate: the batch, the drawing of weights, the teacher. No scoring."""
