"""MRML only: what a project holds, shown in Slicer's scene, and what the user draws there, read for the project.

Imports slicer, vtk and the light floor of SemiSupSegLib; never qt, so that the desktop module and the browser app share
it. Slicer's world is RAS, the project's LPS: :mod:`.Grids` alone turns one into the other. Nothing here clears a scene.
"""
