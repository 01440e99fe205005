"""SemiSupSeg: segmentation of CT/MR volumes from partial annotations. Importing the package stays free."""

__version__ = "0.1.0"
