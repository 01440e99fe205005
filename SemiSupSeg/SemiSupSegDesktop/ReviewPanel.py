"""ReviewPanel: what the model proposes, what needs a look most first, and what a person decides on it."""

from __future__ import annotations

from typing import Any

from SemiSupSegScene.UncertaintyOverlay import MUTUAL_INFORMATION, UNCERTAINTY
from slicer.i18n import tr as _

from .AnnotatePanel import AnnotatePanel
from .CaseView import CaseView
from .Panel import Panel
from .ReviewKeys import ReviewKeys
from .SliceStrip import SliceStrip
from .Tables import fillRow, keyOf, prepareTable, setRowCount

__all__ = ["ReviewPanel"]

MAPS_EXPLAINED = (
    "All doubt: the normalised entropy of the predictions. Doubt that more labels can remove: their mutual information"
)
DECISIONS = {"accepted": "✓", "rejected": "✗", "flagged": "⚑", None: ""}
WHY = 5


class ReviewPanel(Panel):
    """The queue and its keys.

    Args:
        parent: widget with a layout.
        session: the session.
        view: shows the case in the scene.
        annotate: has the brush for "Edit".
    """

    def __init__(self, parent: Any, session: Any, view: CaseView, annotate: AnnotatePanel) -> None:
        super().__init__(parent, session)
        self._view, self._annotate = view, annotate
        ui = self.ui
        titles = ("", _("case"), _("organ"), _("score"), _("U"), _("why"))
        prepareTable(ui.queueTable, titles, stretch=WHY)
        ui.queueTable.connect("cellClicked(int,int)", lambda row, *_said: self.select(row))
        ui.queueTable.connect("cellActivated(int,int)", lambda row, *_said: self.select(row))
        ui.onlyCaseBox.connect("toggled(bool)", lambda *_said: self.fill())
        self.strip = SliceStrip(ui.stripHolder, self._goTo)
        ui.uncertaintyBox.setChecked(view.overlayVisible)
        ui.uncertaintyBox.connect("toggled(bool)", view.setOverlayVisible)
        ui.mapBox.addItem(_("all doubt"), UNCERTAINTY)
        ui.mapBox.addItem(_("doubt that labels can remove"), MUTUAL_INFORMATION)
        ui.mapBox.setCurrentIndex(max(ui.mapBox.findData(view.mapKind), 0))
        ui.mapBox.connect("currentIndexChanged(int)", lambda *_said: self.attempt(self._setMap))
        self.rule(ui.mapBox, self._mayChooseMap, _(MAPS_EXPLAINED))
        ui.previousBox.connect("toggled(bool)", view.compare)
        ui.thresholdSlider.connect("valueChanged(double)", lambda value: self.attempt(self._setThreshold, value))
        self.keys = ReviewKeys({
            "accept": lambda: self._press(session.accept),
            "acceptConfident": lambda: self._press(session.accept_confident),
            "reject": lambda: self._press(session.reject),
            "flag": lambda: self._press(session.flag),
            "worst": lambda: self._press(session.worst_slice),
            "lessWorst": lambda: self._press(lambda: session.worst_slice(-1)),
            "uncertainty": lambda: ui.uncertaintyBox.setChecked(not ui.uncertaintyBox.checked),
            "edit": lambda: self._press(self.edit),
            "next": lambda: self._press(session.select_next),
            "previous": lambda: self._press(session.select_previous),
            "undo": lambda: self._press(session.undo),
        })  # fmt: skip
        self._bindButtons()

    def _bindButtons(self) -> None:
        session, ui = self.session, self.ui
        bind = self.bind
        bind(ui.acceptButton, session.accept, lambda: session.may_accept, _("The whole proposal becomes your label"))
        bind(
            ui.acceptConfidentButton,
            session.accept_confident,
            lambda: session.may_accept_confident,
            _("Only where it is surer than the threshold"),
        )
        bind(ui.acceptSliceButton, self.acceptSlice, lambda: session.may_accept_slice, _("Only in the slice on show"))
        bind(ui.editButton, self.edit, self._mayEdit, _("Takes the brush for this organ; again puts it away"))
        bind(ui.rejectButton, session.reject, lambda: session.may_reject, _("A later model may propose again"))
        bind(ui.flagButton, session.flag, lambda: session.may_flag, _("Leaves it to somebody else"))
        absent = _("It was looked for and is not there")
        bind(ui.absentButton, session.mark_absent, lambda: session.may_mark_absent, absent)
        bind(
            ui.worstButton,
            session.worst_slice,
            lambda: session.may_worst_slice,
            _("The next slice in the order of uncertainty; with shift and J back again"),
        )
        bind(ui.nextButton, session.select_next, lambda: session.may_next, _("The next proposal that waits"))
        bind(ui.previousButton, session.select_previous, lambda: session.may_next, _("The proposal before"))

    def redraw(self, changed: frozenset[str]) -> None:
        """See :meth:`.Panel.redraw`."""
        session, ui = self.session, self.ui
        if changed & {
            "queue_changed",
            "candidate_changed",
            "cases_changed",
            "project_changed",
            "current_case_changed",
            "all",
        }:
            self.fill()
        if abs(float(ui.thresholdSlider.value) - session.threshold) > 1e-6:
            ui.thresholdSlider.blockSignals(True)
            ui.thresholdSlider.setValue(session.threshold)
            ui.thresholdSlider.blockSignals(False)
        self.showSlice()

    def fill(self) -> None:
        """List the proposals, the selected one marked."""
        session, ui = self.session, self.ui
        case = session.current_case if ui.onlyCaseBox.checked else None
        rows = session.queue(None if case is None else case.id)
        setRowCount(ui.queueTable, len(rows))
        for number, row in enumerate(rows):
            decided = f"{DECISIONS.get(row.decision, '')} {row.decision}".strip() if row.decision else ""
            why = " · ".join(filter(None, (decided, row.reason)))
            cells = (
                "▶" if row.selected else str(row.rank),
                row.case,
                row.label,
                f"{row.score:.2f}",
                f"{row.uncertainty:.2f}",
                why,
            )
            fillRow(ui.queueTable, number, (row.case, row.label), cells)
            if row.selected:
                ui.queueTable.selectRow(number)
        waiting = sum(row.open for row in rows)
        ui.waitingLabel.setText(_("{waiting} of {all} proposals wait for you").format(waiting=waiting, all=len(rows)))
        reason = session.may_review
        words = (reason or "").removeprefix("Review: ")
        ui.emptyLabel.setText(words[:1].upper() + words[1:])
        ui.emptyLabel.setVisible(reason is not None)
        ui.queueTable.setVisible(reason is None)
        ui.waitingLabel.setVisible(reason is None)
        row = session.selected
        ui.reasonLabel.setVisible(row is not None)
        if row is not None:
            words = _("{label} in {case}: {reason}; {volume:.1f} ml; model {model}")
            ui.reasonLabel.setText(
                words.format(label=row.label, case=row.case, reason=row.reason, volume=row.volume_ml, model=row.model)
            )

    def showSlice(self) -> None:
        """Say in numbers what the views show in colours."""
        profile, k = self.session.profile(), self._view.slice()
        shown = len(profile) > 0
        self.ui.stripHolder.setVisible(shown)
        self.ui.sliceLabel.setVisible(shown)
        if not shown:
            return
        self.strip.show_(self.session.expected_errors(), k)
        here = "" if k is None or k >= len(profile) else f"{profile[k]:.2f}"
        number = "–" if k is None else k
        self.ui.sliceLabel.setText(_("slice {k}/{all}, U {here}").format(k=number, all=len(profile) - 1, here=here))

    # Commands --------------------------------------------------------------------------------------------------------

    def select(self, row: int) -> None:
        """Look at the proposal of a row."""
        key = keyOf(self.ui.queueTable, row)
        if key:
            self.attempt(self.session.select, str(key[0]), str(key[1]))

    def acceptSlice(self) -> None:
        """Take over the slice that is shown.

        Raises:
            ProjectError: ``session.may_accept_slice`` gives a reason, or no slice view shows the case.
        """
        from SemiSupSegLib.errors import ProjectError

        k = self._view.slice()
        if k is None:
            msg = _("Accept slice: no slice view shows the case")
            raise ProjectError(msg)
        self.session.accept_slices(k)

    def edit(self) -> None:
        """Take the brush for the organ that is looked at, or put it away.

        Raises:
            ProjectError: no proposal is selected.
        """
        from SemiSupSegLib.errors import ProjectError

        reason = self._mayEdit()
        if reason is not None:
            raise ProjectError(reason)
        on = self._annotate.edit(self.session.selected.label)
        self.ui.editButton.setChecked(on)

    def enter(self, window: Any) -> None:
        """The module is shown: the keys act."""
        self.keys.install(window)

    def exit(self) -> None:
        """Another module is shown: they do not."""
        self.keys.remove()
        self.ui.editButton.setChecked(False)

    def cleanup(self) -> None:
        """See :meth:`.Panel.cleanup`."""
        self.exit()

    def _press(self, command: Any) -> None:
        self.attempt(command)

    def _goTo(self, k: int) -> None:
        self._view.goToSlice(k)
        self.showSlice()

    def _setThreshold(self, value: float) -> None:
        self.session.threshold = round(float(value), 2)

    def _setMap(self) -> None:
        self._view.setMap(str(self.ui.mapBox.itemData(self.ui.mapBox.currentIndex)))

    def _mayChooseMap(self) -> str | None:
        return self.session.may_show_map(UNCERTAINTY) or self.session.may_show_map(MUTUAL_INFORMATION)

    def _mayEdit(self) -> str | None:
        if (reason := self.session.may_edit) is not None:
            return reason
        organ = self.session.selected.label
        missing = _("Edit: {organ} has no segment in this case").format(organ=organ)
        return None if self._view.segmentOf(organ) else missing
