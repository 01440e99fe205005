"""The browser app: a local page over Session and SemiSupSegScene, built with trame-slicer on slicer-core.

It shows and asks; every rule is the session's. It imports Scene and the light floor, never the desktop's panels.
"""
