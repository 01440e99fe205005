"""FolderChooser: folders of the computer on which the server runs: to open a project, make one, or add volumes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trame.widgets import html
from trame.widgets.vuetify3 import VBtn, VBtnToggle, VCard, VDialog, VIcon, VTextField

from SemiSupSegLib.project.project import PROJECT_FILE

from .Panel import Panel

__all__ = ["FolderChooser"]

MOST = 200
SAMPLE = "semisupseg_sample"
"""Name of the folder of the sample project."""
MODES = (("open", "Open project"), ("new", "New project"), ("import", "Add folder"))


class FolderChooser(Panel):
    """A path that can be typed, and the folders in it to be clicked. It names folders, and never shows a file."""

    name = "chooser"
    _found: tuple[str, list[dict[str, str]]] = ("", [])

    def build(self) -> None:
        """See :meth:`.Panel.build`."""
        session, state = self.session, self.state
        state.chooser_mode, state.folder, state.new_organs = "open", str(Path.home()), ""
        for name in ("folder", "chooser_mode", "chooser_shown"):
            state.change(name)(lambda **_said: self._look())
        dialog = VDialog(v_model=("chooser_shown", False), max_width=640)
        with dialog, VCard(classes="pa-4", raw_attrs=['id="chooser"']):
            with VBtnToggle(v_model=("chooser_mode",), density="compact", mandatory=True, classes="mb-3"):
                for value, words in MODES:
                    VBtn(words, value=value, size="small", classes="text-none", raw_attrs=[f'data-mode="{value}"'])
            with html.Div(classes="d-flex align-center"):
                VTextField(v_model=("folder",), label="Folder", density="compact", hide_details=True,
                           raw_attrs=['id="folder"'])  # fmt: skip
                VBtn("Up", click=self.up, size="small", variant="text", classes="text-none")
            with html.Div(classes="ss-scroll my-2"), html.Div(
                v_for="entry in chooser.entries", key="entry.name", classes="ss-row pa-1", style="cursor: pointer",
                click=(self.enter, "[entry.name]"), title=("entry.project ? 'A project' : ''",),
            ):  # fmt: skip
                VIcon("{{ entry.project ? 'mdi-folder-star' : 'mdi-folder-outline' }}", size="small")
                html.Span("{{ entry.name }}", classes="ml-2")
            html.Div("{{ chooser.remark }}", classes="ss-quiet my-2", raw_attrs=['id="remark"'])
            with html.Table(classes="ss-table", v_if=("chooser.found.length",)):
                with html.Tr():
                    for title in ("volume", "labels", "remark"):
                        html.Th(title)
                with html.Tr(v_for="f in chooser.found", key="f.image"):
                    for cell in ("image", "labels", "remark"):
                        html.Td("{{ f." + cell + " }}")
            VTextField(v_model=("new_organs",), label="Organs, separated by commas (more can follow later)",
                       v_if=("chooser_mode === 'new'",), density="compact", hide_details=True,
                       raw_attrs=['id="newOrgans"'])  # fmt: skip
            with html.Div(classes="ss-buttons mt-3"):
                self.button("chooseOpen", "Open", self.open, self._mayOpen, "Opens it where it was left",
                            v_show="chooser_mode === 'open'", color="primary")  # fmt: skip
                self.button("chooseNew", "Create", self.create, self._mayCreate, "Makes a project in this folder",
                            v_show="chooser_mode === 'new'", color="primary")  # fmt: skip
                self.button("useThese", "Use these", self.use, self._mayUse,
                            "Copies these volumes and labels into the project", v_show="chooser_mode === 'import'",
                            color="primary")  # fmt: skip
                self.button("makeSample", "Sample project", self.makeSample,
                            lambda: session.may_make_sample(self._sampleFolder),
                            "A SYNTHETIC cohort in a new folder of this one, made on this computer; no patient",
                            v_show="chooser_mode === 'new'")  # fmt: skip
                VBtn("Cancel", click="chooser_shown = false", size="small", variant="text", classes="text-none")
                self.button("closeProject", "Close project", session.close, self._mayClose,
                            "What is painted is stored; a training goes on",
                            v_show="chooser_mode === 'open'")  # fmt: skip

    def content(self) -> dict[str, Any]:
        """See :meth:`.Panel.content`."""
        return {"entries": self._entries(), "remark": self._found[0], "found": self._found[1]}

    # Commands --------------------------------------------------------------------------------------------------------

    def up(self) -> None:
        """Go to the folder around this one."""
        self.state.folder = str(self._folder.parent)
        self._look()

    def enter(self, name: str, **_said: Any) -> None:
        """Go into a folder of this one."""
        self.state.folder = str(self._folder / Path(name).name)
        self._look()

    def open(self) -> None:
        """Open the project of the folder.

        Raises:
            SemiSupSegError: there is none, or it cannot be read.
        """
        self.session.open(self._folder)
        self.state.chooser_shown = False

    def create(self) -> None:
        """Make a project in the folder.

        Raises:
            SemiSupSegError: there is one already, or a name is none.
        """
        names = [name.strip() for name in str(self.state.new_organs or "").split(",") if name.strip()]
        self.session.create(self._folder, names)
        self.state.chooser_shown = False

    def makeSample(self) -> None:
        """Make the sample project in a new folder, and open it.

        Raises:
            SemiSupSegError: ``session.may_make_sample`` gives a reason.
        """
        self.session.make_sample(self._sampleFolder)
        self.state.chooser_shown = False

    def use(self) -> None:
        """Let a child process copy what the folder holds.

        Raises:
            SemiSupSegError: ``session.may_import`` gives a reason.
        """
        self.session.import_folder(self._folder)
        self.state.chooser_shown = False

    # Looking ---------------------------------------------------------------------------------------------------------

    @property
    def _folder(self) -> Path:
        return Path(str(self.state.folder or "")).expanduser()

    @property
    def _sampleFolder(self) -> Path:
        return self._folder / SAMPLE

    def _look(self) -> None:
        from SemiSupSegLib.errors import SemiSupSegError

        self._found = ("", [])
        if self.state.chooser_shown and self.state.chooser_mode == "import" and self._folder.is_dir():
            try:
                found = self.session.find_cases(self._folder)
                usable = sum(each.problem is None for each in found)
                labelled = sum(each.problem is None and each.labels is not None for each in found)
                words = f"{self._folder.name}: {usable} volumes, {labelled} with labels"
                self._found = (words, [_found(each) for each in found[:MOST]])
            except SemiSupSegError as error:
                self._found = (str(error), [])
        self.redraw()

    def _entries(self) -> list[dict[str, Any]]:
        if not self.state.chooser_shown:
            return []
        try:
            folders = sorted(p for p in self._folder.iterdir() if p.is_dir() and not p.name.startswith("."))
        except OSError:
            return []
        return [{"name": p.name, "project": (p / PROJECT_FILE).is_file()} for p in folders[:MOST]]

    def _mayOpen(self) -> str | None:
        return None if (self._folder / PROJECT_FILE).is_file() else "Open: there is no project in this folder"

    def _mayCreate(self) -> str | None:
        if not self._folder.is_absolute():
            return "Create: type the whole path of a folder"
        return "Create: there is a project already" if (self._folder / PROJECT_FILE).is_file() else None

    def _mayUse(self) -> str | None:
        if not any(not row["remark"] for row in self._found[1]):
            return "Use these: there is no volume that can be used"
        return self.session.may_import

    def _mayClose(self) -> str | None:
        return None if self.session.project is not None else "Close project: none is open"


def _found(each: Any) -> dict[str, str]:
    labels = "–" if each.labels is None else each.labels.name
    return {"image": each.image.name, "labels": labels, "remark": f"⚠ {each.problem}" if each.problem else ""}
