"""Pictures: what a person sees of a volume, with titles and scale bars."""
