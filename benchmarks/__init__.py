"""What proxies are measured against: spaces, teachers, batches, accuracy tables; the scoring loop and its store."""
