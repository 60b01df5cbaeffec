"""The studio: a folder in the browser, looked at and worked on; above the verbs, like cli/."""
