"""CaseView: lives in SemiSupSegScene, as the browser app uses it as well."""

from SemiSupSegScene.CaseView import CaseView

__all__ = ["CaseView"]
