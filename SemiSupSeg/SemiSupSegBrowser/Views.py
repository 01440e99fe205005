"""Views: four at a time: axial, 3D, coronal, sagittal. Nothing is rendered in the browser; it gets pictures."""

from __future__ import annotations

from functools import partial
from typing import Any

from trame.widgets import client, html
from trame.widgets.vuetify3 import VBtn, VIcon
from trame_slicer.app.ui import create_vertical_slice_view_gutter_ui, create_vertical_view_gutter_ui
from trame_slicer.rca_view import RemoteViewFactory
from trame_slicer.views import NoScheduleRendering, SliceView, ThreeDView, ViewLayoutDefinition, ViewType

from .Turns import InTurn, Turns
from .VolumeRendering import VolumeRendering

__all__ = ["Views"]

BLUR_FPS = 10.0
"""Pictures a second of the views that the mouse is not in."""
SAMPLE_WORDS = "A SYNTHETIC cohort, made on this computer in a new folder of your own; no patient was ever near it"
QUALITY = 90
"""Of every picture (JPEG). It is that of trame-rca's pictures of a view at rest, so that none is drawn twice: a second,
better one would come just when the next stroke begins, and drawing takes longer than sending."""
EVENT_SECONDS = 0.02
"""Between two places of the mouse that the page tells: each takes the server some milliseconds, and a stroke is drawn
straight from one to the next."""
NAMES = {"Red": "Axial", "Green": "Coronal", "Yellow": "Sagittal", "ThreeD": "3D"}


class Views:
    """Makes the views, and places them.

    Args:
        app: the :class:`~.App.App`.
    """

    def __init__(self, app: Any) -> None:
        self._app = app
        self._manager = app.host.view_manager
        self.turns = Turns()
        self._volume3d = VolumeRendering(app.host)
        self._state = app.server.state
        self._state.organs3d_on = self._state.volume3d_on = False
        for view, kind, gutter in (
            (_SliceView, ViewType.SLICE_VIEW, self._sliceGutter), (ThreeDView, ViewType.THREE_D_VIEW, self._gutter3d),
        ):  # fmt: skip
            self._manager.register_factory(_Factory(
                self.turns, app.server, partial(_quietly, view), kind, populate_view_ui_f=gutter,
                blur_fps=BLUR_FPS, interactive_quality=QUALITY, rca_event_throttle_s=EVENT_SECONDS))  # fmt: skip
        kinds = ViewLayoutDefinition
        made = (kinds.axial_view(), kinds.threed_view(), kinds.coronal_view(), kinds.sagittal_view())
        self._tags = [definition.singleton_tag for definition in made]
        for definition in made:
            self._manager.create_view(definition).render_window().SetMultiSamples(0)  # a processor draws, not a card
        self._manager.set_current_view_ids(self._tags)

    def build(self, strip: Any) -> None:
        """Place the views, where the caller is in the page.

        Args:
            strip: the :class:`~.SliceStrip.SliceStrip`, under the axial view.
        """
        with html.Div(classes=("'ss-views ss-' + layout",), raw_attrs=['id="views"']):
            for tag in self._tags:
                with html.Div(classes="ss-axial" if tag == "Red" else "", raw_attrs=[f'data-view="{NAMES[tag]}"']):
                    with html.Div(classes="ss-view", style="height: 100%"):
                        html.Div(NAMES[tag], classes="ss-name")
                        client.ServerTemplate(name=self._app.server.translator.translate_key(tag))
                    if tag == "Red":
                        strip.build()
            with html.Div(v_if=("welcome",), classes="ss-empty", raw_attrs=['id="welcome"']):
                html.Div("{{ welcome }}")
                VBtn("Make a sample project", v_if=("sample_offered",), click=self._makeSample, variant="tonal",
                     classes="mt-4", raw_attrs=['id="sample"', f'title="{SAMPLE_WORDS}"'])  # fmt: skip

    def _makeSample(self) -> None:
        self._app.attempt(self._app.chooser.makeSample)

    def reset(self, kind: type = object) -> None:
        """Show the whole of the case in every view, or in those of one class."""
        for view in self._manager.get_views():
            if isinstance(view, kind):
                view.reset_view()

    def showVolume3d(self) -> None:
        """Show the volume of the open case in the 3D view, when that is wanted."""
        case = self._app.session.current_case
        self._volume3d.show(self._app.view.volumeNode, "" if case is None else case.modality)
        self._state.volume3d_on = self._volume3d.wanted

    def _toggleOrgans3d(self) -> None:
        editor = self._app.editor
        self._app.attempt(editor.set_surface_representation_enabled, not editor.is_surface_representation_enabled())
        self._state.organs3d_on = editor.is_surface_representation_enabled()
        self.reset(ThreeDView)

    def _toggleVolume3d(self) -> None:
        self._volume3d.wanted = not self._volume3d.wanted
        self._app.attempt(self.showVolume3d)
        self.reset(ThreeDView)

    def _sliceGutter(self, server: Any, viewId: str, view: Any) -> None:
        create_vertical_slice_view_gutter_ui(server, viewId, view)

    def _gutter3d(self, server: Any, viewId: str, view: Any) -> None:
        create_vertical_view_gutter_ui(server, viewId, view, self._show3d)

    def _show3d(self, _server: Any, _viewId: str, _view: Any) -> None:
        for name, icon, words, click in (
            ("organs3d", "mdi-cube-outline", "Organs in 3D", self._toggleOrgans3d),
            ("volume3d", "mdi-head", "Volume in 3D: takes a processor's time at every change", self._toggleVolume3d),
        ):  # fmt: skip
            with VBtn(size="medium", variant="text", click=click, raw_attrs=[f'id="{name}"', f'title="{words}"']):
                VIcon(icon, color=(f"{name}_on ? 'primary' : 'white'",))


class _SliceView(SliceView):
    """With the image behind all that is on it: what is added first is drawn first, and a case adds its labels first."""

    def __init__(self, *said: Any, **more: Any) -> None:
        super().__init__(*said, **more)
        self._render_manager.SetImageDataConnection(None)


class _Factory(RemoteViewFactory):
    """Makes views that are drawn in turn."""

    def __init__(self, turns: Turns, *said: Any, **more: Any) -> None:
        super().__init__(*said, **more)
        self._turns = turns

    def _create_view(self, view: Any, scene: Any, logic: Any) -> Any:
        made = super()._create_view(view, scene, logic)
        key = view.singleton_tag
        self._turns.watch(key, made.slicer_view.interactor())
        made.slicer_view.set_scheduled_render(InTurn(self._turns, key, made.view_adapter.schedule_render))
        return made


def _quietly(view: Any, **said: Any) -> Any:
    """A view that is not drawn for every property it is given: hundreds of pictures that nobody would see."""
    return view(scheduled_render_strategy=NoScheduleRendering(), **said)
