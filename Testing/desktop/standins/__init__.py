"""Stand-ins for what only Slicer's application brings: PythonQt's modules qt and ctk, and the widgets of MRML.

They prove that the panels are wired rightly. They do not show what Slicer looks like.
"""
