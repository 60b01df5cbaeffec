"""What a microscope does to signal: noise units, the gate, optics, random fields."""
