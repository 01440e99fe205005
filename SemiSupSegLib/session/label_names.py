"""LabelNames: which labels a project has, and what they are called."""

from __future__ import annotations

from ..errors import ProjectError
from .core import require
from .renaming import rename, what_names
from .writing import Writing

__all__ = ["LabelNames"]


class LabelNames(Writing):
    """Commands and rules for adding and renaming labels."""

    def may_add_organ(self, name: str) -> str | None:
        """Why a name cannot become a label; None when it can."""
        if (reason := self._may_change("Add organ")) is not None:
            return reason
        if not name.strip():
            return "Add organ: type its name"
        return f"Add organ: {name.strip()} is there already" if self._is_label(name) else None

    def add_organ(self, name: str) -> None:
        """A new label at the end; nothing is known of it in any case.

        Raises:
            ProjectError: :meth:`may_add_organ` gives a reason.
        """
        from ..project.import_plan import new_label  # here, as it brings the readers of all files along

        require(self.may_add_organ(name))
        project = self._opened()
        project.add_labels([new_label(name.strip(), len(project.label_set))], who=self.who)
        self._labels_changed()
        self._say(f"{name.strip()} is a new organ; it is ? in every case")

    def may_rename(self, old: str, new: str) -> str | None:
        """Why a label keeps its name; None when it may change. Files keep labels under their names."""
        if (reason := self._may_change("Rename")) is not None:
            return reason
        if not new.strip():
            return "Rename: type the new name"
        if self._name(old) == new.strip():
            return f"Rename: {old} has that name"
        if self._is_label(new) and self._name(new) != self._name(old):
            return f"Rename: {new.strip()} is another organ of this project"
        named = what_names(self._opened(), self._name(old))
        return None if named is None else f"Rename: {named} {old}; add an organ with the new name instead"

    def rename_organ(self, old: str, new: str) -> None:
        """Give a label another name, as long as no file knows it.

        Raises:
            ProjectError: :meth:`may_rename` gives a reason.
        """
        require(self.may_rename(old, new))
        rename(self._opened(), self._name(old), new.strip(), who=self.who)
        self._labels_changed()

    def _is_label(self, name: str) -> bool:
        try:
            self._name(name)
        except ProjectError:
            return False
        return True

    def _labels_changed(self) -> None:
        for signal in (self.signals.project_changed, self.signals.cases_changed, self.signals.organs_changed):
            self.signals.tell(signal)
