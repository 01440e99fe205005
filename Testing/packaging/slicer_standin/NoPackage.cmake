# Slicer makes the downloadable package here; nothing to do without it.
