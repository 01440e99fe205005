"""TrainPanel: how much to train, on what, how it stands, and how to end it."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.i18n import tr as _

from .Panel import Panel
from .TrainingPlot import TrainingPlot

__all__ = ["TrainPanel"]

PLOT_HEIGHT = 160
FACES = {"finished": "✓ ", "stopped": "■ ", "failed": "✖ ", "crashed": "✖ ", "hung": "⚠ "}


class TrainPanel(Panel):
    """Preset, device, estimate, progress and curve.

    Args:
        parent: widget with a layout.
        session: the session.
        scene: in which the plot's nodes are.
    """

    def __init__(self, parent: Any, session: Any, scene: Any) -> None:
        super().__init__(parent, session)
        self._scene = scene
        self.plot = TrainingPlot(scene)
        self.plotView: Any = None
        self._plotViewNode: Any = None
        ui = self.ui
        for row in session.presets:
            ui.presetBox.addItem(
                f"{_(row.name.capitalize())} – {row.words}" if row.words else _(row.name.capitalize()), row.name
            )
        ui.presetBox.connect("activated(int)", lambda *_said: self.attempt(self._choosePreset))
        for device, words in (
            ("auto", _("the fastest that is there")),
            ("cpu", _("CPU")),
            ("cuda", _("NVIDIA graphics card")),
        ):
            ui.deviceBox.addItem(words, device)
        ui.predictBox.connect("toggled(bool)", self._choosePrediction)
        self.bind(
            ui.trainButton,
            self.train,
            lambda: session.may_train,
            _("Trains in a process of its own; you can go on painting"),
        )
        self.bind(ui.pauseButton, session.pause, lambda: session.may_pause, _(
            "Writes a checkpoint and gives the machine back; Resume goes on from there"))  # fmt: skip
        self.bind(ui.stopButton, session.end, lambda: session.may_end, _(
            "Ends the training for good: its best checkpoint on the hold-out becomes the model in use, "
            "unless the hold-out would get worse"))  # fmt: skip
        self.bind(ui.resumeButton, session.resume, lambda: session.may_resume, _("Goes on from the last checkpoint"))
        self.bind(ui.previewButton, session.propose, lambda: session.may_propose, _(
            "While a training goes on: shows what it would propose now in the case that is open. Otherwise the model "
            "in use proposes labels for that case, or for all when none is open"))  # fmt: skip
        self.bind(
            ui.rollbackButton, session.rollback, lambda: session.may_rollback, _("The model in use now stays on disk")
        )

    def redraw(self, changed: frozenset[str]) -> None:
        """See :meth:`.Panel.redraw`."""
        session, ui = self.session, self.ui
        ui.presetBox.setCurrentIndex(max(ui.presetBox.findData(session.preset), 0))
        ui.predictBox.blockSignals(True)
        ui.predictBox.setChecked(session.predict_after_training)
        ui.predictBox.blockSignals(False)
        self._showProgress(session.progress)
        if changed & {"job_changed", "project_changed", "all"}:
            self._showCurves(session.curves)

    def _showProgress(self, progress: Any) -> None:
        ui = self.ui
        active = progress is not None and progress.active
        ui.stopButton.setText(_("End it now") if self.session.ending else _("Stop && keep best"))
        keeps = self.session.may_keep_best is None
        ui.previewButton.setText(_("Preview now") if self.session.looks_ahead else _("Propose labels"))
        for widget in (ui.trainButton, ui.presetBox):
            widget.setVisible(not active)
        ui.pauseButton.setVisible(active)
        ui.stopButton.setVisible(active or keeps)
        ui.resumeButton.setVisible(not active and self.session.may_resume is None)
        ui.progressBar.setVisible(active)
        ui.progressLabel.setVisible(progress is not None)
        ui.detailText.setVisible(bool(progress and progress.detail))
        ui.estimateLabel.setText(self._estimate(progress if active else None))
        ui.deviceChip.setText(self._device(progress))
        if progress is None:
            return
        known = progress.fraction is not None
        ui.progressBar.setRange(0, 100 if known else 0)
        ui.progressBar.setValue(round(100 * progress.fraction) if known else 0)
        ui.progressBar.setFormat(" · ".join(filter(None, ("%p %" if known else "", progress.eta))))
        verdict = f"\n{progress.verdict}" if progress.verdict and not active else ""
        ui.progressLabel.setText(
            FACES.get(progress.state, "") + progress.words[:1].upper() + progress.words[1:] + verdict
        )
        if progress.detail and ui.detailText.plainText != progress.detail:
            ui.detailText.setPlainText(progress.detail)

    def _estimate(self, progress: Any) -> str:
        if progress is None or progress.minutes is None:
            return self.session.estimate(self.session.preset)
        memory = "" if progress.memory_gb is None else _(", {memory:.1f} GB").format(memory=progress.memory_gb)
        return _("≈ {minutes:g} min").format(minutes=round(progress.minutes, 1)) + memory

    def _device(self, progress: Any) -> str:
        if progress is None or not progress.device:
            return _("Device: chosen when the training starts, and named here with the reason")
        name = "CPU" if progress.device == "cpu" else progress.device
        return _("Device: {name}").format(name=name) + (
            f" – {progress.device_reason}" if progress.device_reason else ""
        )

    def _showCurves(self, curves: Any) -> None:
        ui = self.ui
        self.plot.show(curves)
        drawn = bool(curves.losses or curves.dice)
        if drawn and self.plotView is None:
            self._makeView()
        ui.plotHolder.setVisible(drawn)
        if drawn and self._plotViewNode is not None:
            self._plotViewNode.SetPlotChartNodeID(self.plot.chartNode.GetID())
        best = curves.best
        ui.bestLabel.setVisible(drawn)
        words = _("◆ best so far: Dice {dice:.2f} at step {step}").format(dice=best[1], step=best[0]) if best else ""
        ui.bestLabel.setText(words or _("No score on a hold-out yet"))

    def _makeView(self) -> None:
        node = self._scene.CreateNodeByClass("vtkMRMLPlotViewNode")
        node.UnRegister(None)
        node.SetSingletonTag("SemiSupSegTraining")  # of its own, so that no layout takes it
        node.SetSaveWithScene(False)
        self._plotViewNode = self._scene.AddNode(node)
        self.plotView = slicer.qMRMLPlotView()
        self.plotView.setMRMLScene(self._scene)
        self.plotView.setMRMLPlotViewNode(self._plotViewNode)
        self.plotView.setMinimumHeight(PLOT_HEIGHT)
        self.ui.plotHolder.layout().addWidget(self.plotView)

    # Commands --------------------------------------------------------------------------------------------------------

    def train(self) -> None:
        """Start with what is chosen.

        Raises:
            SemiSupSegError: ``session.may_train`` gives a reason, or the engine cannot be started.
        """
        ui = self.ui
        device = str(ui.deviceBox.itemData(ui.deviceBox.currentIndex))
        self.session.train(device=device, from_scratch=bool(ui.scratchBox.checked))

    def _choosePreset(self) -> None:
        self.session.preset = str(self.ui.presetBox.itemData(self.ui.presetBox.currentIndex))
        self.redraw(frozenset())

    def _choosePrediction(self, on: bool) -> None:
        self.session.predict_after_training = on

    def cleanup(self) -> None:
        """See :meth:`.Panel.cleanup`."""
        if self.plotView is not None:
            self.plotView.setMRMLPlotViewNode(None)
            self.plotView.setMRMLScene(None)
            self._scene.RemoveNode(self._plotViewNode)
        self.plot.remove()
