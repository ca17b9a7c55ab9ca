"""Training a student under a teacher: images, students, methods, the loop, sweeps of runs."""
