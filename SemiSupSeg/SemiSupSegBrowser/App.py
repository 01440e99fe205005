"""App: session, scene and page together. One thread: the page's events, and a timer that looks at the session.

What takes long, the session does beside it: reading a case, storing a stroke or a decision.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from SemiSupSegScene.CaseView import CaseView
from trame.ui.vuetify3 import VAppLayout
from trame.widgets import html
from trame.widgets.vuetify3 import (
    VAppBar,
    VExpansionPanel,
    VExpansionPanels,
    VExpansionPanelText,
    VExpansionPanelTitle,
    VMain,
    VNavigationDrawer,
)

from SemiSupSegLib.errors import SemiSupSegError
from SemiSupSegLib.session import Session

from .AdjacencyTable import AdjacencyTable
from .AnnotatePanel import AnnotatePanel
from .CasesPanel import CasesPanel
from .Diagnostics import Diagnostics
from .ExportPanel import ExportPanel
from .FolderChooser import FolderChooser
from .OrgansPanel import OrgansPanel
from .Panel import Panel
from .ReviewPanel import ReviewPanel
from .SettingsPanel import SettingsPanel
from .SlicerHost import makeHost
from .SliceStrip import SliceStrip
from .StatusStrip import Banner, StatusStrip
from .TrainPanel import TrainPanel
from .UploadRoutes import UploadRoutes
from .Views import Views
from .Watch import Watch

__all__ = ["App"]

FOLDED = ("Export", "Settings")
WORDS = {"Export": "Export and batch"}
"""Of a section, where its name is too short for what it does."""
_LOG = logging.getLogger(__name__)


class App:
    """The whole page.

    Args:
        server: a trame server.
        session: a new :class:`~SemiSupSegLib.session.Session`.
    """

    def __init__(self, server: Any, session: Session) -> None:
        self.server, self.session = server, session
        self.diagnostics = Diagnostics()
        logging.getLogger().addHandler(self.diagnostics)
        self.host = makeHost()
        self.editor = self.host.segmentation_editor
        self.watch = Watch(self)
        self.views = Views(self)
        self.view = CaseView(self.host.scene, session, session.signals.message.emit)
        self.view.overlay.drawsLegend = False  # it would cover the image: the strip has one
        self.annotate = AnnotatePanel(self)
        self.adjacency = AdjacencyTable(self)
        self.strip = SliceStrip(self)
        self.banner, self.status = Banner(self), StatusStrip(self)
        self.chooser = FolderChooser(self)
        self.sections: tuple[tuple[str, Panel], ...] = (
            ("Cases", CasesPanel(self)),
            ("Organs", OrgansPanel(self)),
            ("Annotate", self.annotate),
            ("Train", TrainPanel(self)),
            ("Review", ReviewPanel(self)),
            ("Export", ExportPanel(self)),
            ("Settings", SettingsPanel(self)),
        )
        self.uploads = UploadRoutes(session)
        session.signals.changed.connect(self.hear)
        session.signals.message.connect(self.tell)
        session.signals.task_changed.connect(lambda task: self.uploads.forget() if task is None else None)
        self._listen()
        self._build()

    @property
    def panels(self) -> tuple[Panel, ...]:
        """All parts of the page."""
        parts = (self.status, self.banner, self.chooser, self.strip, self.adjacency)
        return (*parts, *(panel for _title, panel in self.sections))

    # Page ------------------------------------------------------------------------------------------------------------

    def _build(self) -> None:
        state = self.server.state
        state.trame__title, state.dark, state.uploading, state.welcome = "SemiSupSeg", True, "", ""
        state.sample_offered, state.commands = False, 0
        state.trame__favicon = "/semisupseg/icon.png"
        state.trame__template_error = (
            "<div style='margin: 15vh auto; max-width: 34em; font: 16px system-ui'>The connection to the server is "
            "lost. What you painted is stored. Start <code>semisupseg app</code> again and open its address.</div>"
        )
        with VAppLayout(self.server, template_name="main") as layout:
            layout.root.theme = ("dark ? 'dark' : 'light'",)
            with VAppBar(density="compact", height=44):
                self.status.build()
            with VNavigationDrawer(permanent=True, width=440, classes="ss-drawer", disable_resize_watcher=True):
                self._drawer()
            with VMain(style="height: 100vh"), html.Div(style="position: relative; height: 100%"):
                self.banner.build()
                self.views.build(self.strip)
            self.chooser.build()

    def _drawer(self) -> None:
        opened = [title for title, _panel in self.sections if title not in FOLDED]
        with VExpansionPanels(v_model=("sections", opened), multiple=True, variant="accordion"):
            for number, (title, panel) in enumerate(self.sections, start=1):
                with VExpansionPanel(value=title, raw_attrs=[f'id="section{title}"']):
                    VExpansionPanelTitle(f"{number}  {WORDS.get(title, title)}")
                    with VExpansionPanelText(eager=True):
                        panel.build()

    def _listen(self) -> None:
        self.server.state.change("layout")(lambda **_said: self.connected())
        trigger = self.server.trigger
        trigger("semisupseg_key")(lambda key: self.attempt(dict(self.sections)["Review"].press, key))
        trigger("semisupseg_copied")(self.banner.copied)
        trigger("semisupseg_uploaded")(lambda batch: self.attempt(self.uploads.add, batch))
        trigger("semisupseg_upload_failed")(lambda why: self.tell(why, "error"))

    def connected(self) -> None:
        """A page is there: its views have their size in a moment, and show the whole case then."""
        self.watch.pageCame()

    def shown(self) -> None:
        """Another case is shown."""
        self.strip.caseShown()
        self.views.showVolume3d()
        self.views.reset()
        self.watch.changed = True

    # Commands and what becomes of them -------------------------------------------------------------------------------

    def attempt(self, command: Callable[..., Any], *said: Any) -> None:
        """Give a command, after the stroke that is being stored; what goes wrong becomes a banner."""
        try:
            self.annotate.finishStoring()
            command(*said)
        except (SemiSupSegError, OSError) as error:
            self.tell(str(error), "error")
        except Exception as error:
            _LOG.exception("a command failed")
            self._show(f"A mistake in the program ({type(error).__name__}); nothing was lost", "error", error)
        self.redraw()
        self.server.state.commands += 1

    def tell(self, sentence: str, level: str = "info") -> None:
        """One sentence in the banner; ``level`` is ``info``, ``warning`` or ``error``."""
        self._show(sentence, level)

    def hear(self, signal: str) -> None:
        """Something changed: the page is drawn soon, many changes at once."""
        self.watch.hear(signal)

    def redraw(self) -> None:
        """Show what changed."""
        self.watch.drawn()
        for panel in self.panels:
            panel.redraw()
        self.server.state.welcome = self._welcome()
        self.server.state.sample_offered = self.session.project is None

    def _show(self, sentence: str, level: str, error: BaseException | None = None) -> None:
        self.watch.told()
        self.banner.show(sentence, level, self.diagnostics.report(sentence, error))

    def _welcome(self) -> str:
        if self.session.project is None:
            return "Open a project, or create one: click “No project” above."
        if not self.session.project.cases:
            return "No case yet: add a folder of volumes, or upload some."
        if self.view.volumeNode is not None:
            return ""
        opening = self.session.opening
        return "Click a case on the left to open it." if opening is None else f"{opening[:1].upper()}{opening[1:]} …"

    def close(self) -> None:
        """Store what is painted and let go of the project; a training goes on."""
        try:
            self.session.close()
        except SemiSupSegError:
            _LOG.exception("the project could not be closed")
