"""The plugin for napari: opens our files, predicts, and steps through cubes and doubtful places."""
