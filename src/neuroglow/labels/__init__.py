"""Labels as people have them, their values, and masks."""
