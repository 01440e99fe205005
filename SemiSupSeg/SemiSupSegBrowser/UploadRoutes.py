"""UploadRoutes: files from the browser into the project's cache, then added as any other file is."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aiohttp import web

from SemiSupSegLib.errors import ImageError, SemiSupSegError
from SemiSupSegLib.project.integrity import check_before_reading
from SemiSupSegLib.project.paths import safe_id
from SemiSupSegLib.session.uploads import Uploads

__all__ = ["UploadRoutes"]

CHUNK = 1024 * 1024


class UploadRoutes:
    """``POST /upload`` begins a batch, ``PUT /upload/BATCH?name=NAME`` brings a file.

    Args:
        session: whose ``may_import`` is the rule.
    """

    def __init__(self, session: Any) -> None:
        self._session = session
        self._uploads: Uploads | None = None
        self._root: Any = None
        self._batch = ""
        self._series: dict[str, str] = {}

    def routes(self) -> list[Any]:
        """For an aiohttp application."""
        return [web.post("/upload", self._begin), web.put("/upload/{batch}", self._receive)]

    def add(self, batch: str) -> None:
        """Let a child process add what a batch holds.

        Raises:
            SemiSupSegError: nothing came, or ``session.may_import`` gives a reason.
        """
        uploads = self._of_project()
        self._session.wait()  # a stroke that is being stored must not refuse what was brought
        try:
            self._session.add_files(_named(uploads.volumes(batch), self._series.pop(batch, "")))
            self._batch = batch
        except SemiSupSegError:
            uploads.remove(batch)
            raise

    def forget(self) -> None:
        """The child is done: its files are in the project, or are refused."""
        if self._batch and self._uploads is not None:
            self._uploads.remove(self._batch)
            self._batch = ""

    def _of_project(self) -> Uploads:
        project = self._session.project
        if self._uploads is None or self._root != project.root:
            self._uploads, self._root = Uploads(project.cache_folder), project.root
            self._uploads.clear()
        return self._uploads

    async def _begin(self, _request: web.Request) -> web.Response:
        reason = self._session.may_import
        if reason is not None:
            return _refused(reason)
        return web.json_response({"batch": self._of_project().begin()})

    async def _receive(self, request: web.Request) -> web.Response:
        if self._session.project is None:
            return _refused("Upload: open or create a project first")
        uploads, batch = self._of_project(), request.match_info["batch"]
        try:
            name = request.query.get("name", "")
            place = uploads.place(batch, name)
            self._series.setdefault(batch, name.partition("/")[0])
            await self._write(place, request, batch)
            await asyncio.get_running_loop().run_in_executor(None, check_before_reading, place)
        except (SemiSupSegError, OSError) as error:
            self._give_up(batch)  # a part of a series is worse than none
            return _refused(f"Upload: {error}" if isinstance(error, ImageError) else str(error))
        except (asyncio.CancelledError, ConnectionError):  # the tab was closed
            self._give_up(batch)
            raise
        return web.json_response({})

    def _give_up(self, batch: str) -> None:
        self._of_project().remove(batch)
        self._series.pop(batch, None)

    async def _write(self, place: Path, request: web.Request, batch: str) -> None:
        with place.open("xb") as file:
            async for block in request.content.iter_chunked(CHUNK):
                self._of_project().count(batch, len(block))
                file.write(block)


def _named(volumes: Sequence[Path], name: str) -> Sequence[Path]:
    """Let the folder of a DICOM series have the name of the person's own, as its case is called so."""
    if not volumes[0].is_dir():
        return volumes
    files = list(volumes[0].iterdir())
    series = volumes[0] / safe_id(name, [file.name for file in files])
    series.mkdir()
    for file in files:
        file.rename(series / file.name)
    return [series]


def _refused(why: str) -> web.Response:
    """An answer, not an error of HTTP: the page shows the sentence, and the browser's console stays empty."""
    return web.json_response({"refused": why})
