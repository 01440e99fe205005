"""IgnoreBrush: lives in SemiSupSegScene, as the browser app uses it as well."""

from SemiSupSegScene.IgnoreBrush import IgnoreBrush

__all__ = ["IgnoreBrush"]
