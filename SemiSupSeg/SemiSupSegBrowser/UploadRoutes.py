"""UploadRoutes: files from the browser into the project's cache, then added as any other file is."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from SemiSupSegLib.errors import SemiSupSegError
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

    def routes(self) -> list[Any]:
        """For an aiohttp application."""
        return [web.post("/upload", self._begin), web.put("/upload/{batch}", self._receive)]

    def add(self, batch: str) -> None:
        """Let a child process add what a batch holds.

        Raises:
            SemiSupSegError: nothing came, or ``session.may_import`` gives a reason.
        """
        uploads = self._of_project()
        try:
            self._session.add_files(uploads.volumes(batch))
            self._batch = batch
        except SemiSupSegError:
            uploads.remove(batch)
            raise

    def forget(self) -> None:
        """The child is done: its files are in the project, or are refused."""
        if self._batch:
            self._of_project().remove(self._batch)
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
            return web.Response(status=409, text=reason)
        return web.json_response({"batch": self._of_project().begin()})

    async def _receive(self, request: web.Request) -> web.Response:
        if self._session.project is None:
            return web.Response(status=409, text="Upload: open or create a project first")
        uploads, batch = self._of_project(), request.match_info["batch"]
        try:
            place = uploads.place(batch, request.query.get("name", ""))
            with place.open("xb") as file:
                async for block in request.content.iter_chunked(CHUNK):
                    uploads.count(batch, len(block))
                    file.write(block)
        except (SemiSupSegError, OSError) as error:
            return web.Response(status=413, text=str(error))
        return web.Response(text="ok")
