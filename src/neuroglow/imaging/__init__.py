"""Effects of a microscope on the signal: noise units, the gate, optics, random fields."""
