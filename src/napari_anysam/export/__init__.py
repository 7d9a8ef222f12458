"""Labels for other programs: one file per format, ``formats.py`` chooses."""
