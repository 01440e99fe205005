"""Views: four at a time: axial, 3D, coronal, sagittal. Nothing is rendered in the browser; it gets pictures."""

from __future__ import annotations

from functools import partial
from typing import Any

from trame.widgets import client, html
from trame.widgets.vuetify3 import VBtn, VIcon
from trame_slicer.app.ui import create_vertical_slice_view_gutter_ui, create_vertical_view_gutter_ui
from trame_slicer.rca_view import RemoteViewFactory
from trame_slicer.views import NoScheduleRendering, SliceView, ThreeDView, ViewLayoutDefinition, ViewType

__all__ = ["Views"]

BLUR_FPS = 10.0
"""Pictures a second of the views that the mouse is not in."""
NAMES = {"Red": "Axial", "Green": "Coronal", "Yellow": "Sagittal", "ThreeD": "3D"}


class Views:
    """Makes the views, and places them.

    Args:
        app: the :class:`~.App.App`.
    """

    def __init__(self, app: Any) -> None:
        self._app = app
        self._manager = app.host.view_manager
        for view, kind, gutter in (
            (_SliceView, ViewType.SLICE_VIEW, self._sliceGutter), (ThreeDView, ViewType.THREE_D_VIEW, self._gutter3d),
        ):  # fmt: skip
            self._manager.register_factory(RemoteViewFactory(
                app.server, partial(_quietly, view), kind, populate_view_ui_f=gutter, blur_fps=BLUR_FPS))  # fmt: skip
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
            html.Div("{{ welcome }}", v_if=("welcome",), classes="ss-empty", raw_attrs=['id="welcome"'])

    def reset(self) -> None:
        """Show the whole of the case in every view."""
        for view in self._manager.get_views():
            view.reset_view()

    def _sliceGutter(self, server: Any, viewId: str, view: Any) -> None:
        create_vertical_slice_view_gutter_ui(server, viewId, view)

    def _gutter3d(self, server: Any, viewId: str, view: Any) -> None:
        create_vertical_view_gutter_ui(server, viewId, view, self._show3d)

    def _show3d(self, _server: Any, _viewId: str, _view: Any) -> None:
        with VBtn(size="medium", variant="text", click=self._app.toggle3d, raw_attrs=['title="Organs in 3D"']):
            VIcon("mdi-cube-outline", color="white")


class _SliceView(SliceView):
    """With the image behind all that is on it: what is added first is drawn first, and a case adds its labels first."""

    def __init__(self, *said: Any, **more: Any) -> None:
        super().__init__(*said, **more)
        self._render_manager.SetImageDataConnection(None)


def _quietly(view: Any, **said: Any) -> Any:
    """A view that is not drawn for every property it is given: hundreds of pictures that nobody would see."""
    return view(scheduled_render_strategy=NoScheduleRendering(), **said)
