"""Tab: the page as a person uses it: words to click, keys to press, strokes in a view, and what can be read."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import SimpleITK as sitk  # noqa: N813

__all__ = ["Tab"]


class Tab:
    """One tab of the browser.

    Args:
        page: of Playwright.
        address: opened at once.
        pictures: folder for :meth:`picture`.
        patience: seconds that a process may take.
    """

    def __init__(self, page: Any, address: str, pictures: Path, patience: float) -> None:
        self.page, self._pictures = page, pictures
        self.errors: list[str] = []
        self.outside: list[str] = []
        host = urlsplit(address).netloc
        page.set_default_timeout(1000 * patience)
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda asked: self._see(asked.url, host))
        page.goto(address)

    def _hear(self, said: Any) -> None:
        if said.type == "error":
            self.errors.append(f"{said.text} {said.location['url']}")

    def _see(self, url: str, host: str) -> None:
        parts = urlsplit(url)
        if parts.scheme in ("http", "https", "ws", "wss") and parts.netloc != host:
            self.outside.append(url)

    # Looking ---------------------------------------------------------------------------------------------------------

    def reads(self, words: str | re.Pattern[str]) -> None:
        """Wait until some text is to be seen."""
        self.page.get_by_text(words).first.wait_for(state="visible")

    def banner(self, words: str | re.Pattern[str]) -> None:
        """Wait until the banner says so."""
        self.page.locator("#banner").filter(has_text=words).wait_for(state="visible")

    def at_rest(self) -> None:
        """Wait until nothing is being read or stored."""
        self.page.locator("#nextStep").filter(has_text="Next:").wait_for()

    def enabled(self, button: str) -> None:
        """Wait until a button may be used."""
        self.page.locator(f"#{button}:not([disabled])").wait_for(state="visible")

    def reason(self, button: str) -> str:
        """Tooltip of a button."""
        return str(self.page.locator(f"span:has(> #{button})").get_attribute("title"))

    def organ(self, name: str) -> Any:
        """The row of an organ."""
        return self.page.locator(f"[data-organ='{name}']")

    def case(self, name: str) -> Any:
        """The row of a case."""
        return self.page.locator(f"[data-case='{name}']")

    def proposal(self, case: str, organ: str) -> Any:
        """The row of a proposal."""
        return self.page.locator(f"[data-proposal='{case}/{organ}']")

    def picture(self, name: str) -> Path:
        """Keep how it looks."""
        self._pictures.mkdir(parents=True, exist_ok=True)
        path = self._pictures / f"{name}.png"
        self.page.wait_for_timeout(700)  # what was done has reached the page
        self.page.screenshot(path=path)
        return path

    def colour(self, x: float, y: float, view: str = "Axial") -> tuple[int, int, int]:
        """Red, green and blue of a place of a view, 0 to 255; the place in shares of its width and height."""
        box = self.view(view)
        clip = {"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"], "width": 1, "height": 1}
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "place.png"
            self.page.screenshot(path=path, clip=clip)
            red, green, blue = sitk.GetArrayFromImage(sitk.ReadImage(str(path))).reshape(-1)[:3].tolist()
        return red, green, blue

    # Doing -----------------------------------------------------------------------------------------------------------

    def press(self, button: str) -> None:
        """Click a button by its id, as soon as it may be used; when it gives a command, wait for the page's answer."""
        self.enabled(button)
        place, count = self.page.locator(f"#{button}"), "window.trame.state.get('commands')"
        before, commands = self.page.evaluate(count), place.get_attribute("data-command") is not None
        place.click()
        if commands:
            self.page.wait_for_function(f"before => {count} > before", arg=before)

    def open_case(self, name: str) -> None:
        """Click a case, and wait until its picture is there."""
        self.case(name).locator("td").first.click()
        self.page.locator(f"[data-case='{name}'].ss-current").wait_for()
        self.page.locator("#slice").filter(has_text="slice").wait_for()
        self.page.wait_for_function("() => !document.querySelector('#welcome')")

    def choose(self, organ: str) -> None:
        """Click the name of an organ, and wait until its brush is in hand."""
        self.organ(organ).locator("td").first.click()
        self.reads(f"Painting {organ}")

    def tool(self, words: str) -> None:
        """Take a tool, and wait until it is in hand."""
        tool = self.page.locator(f"#tools [data-tool='{words}']")
        tool.click()
        self.page.locator(f"#tools [data-tool='{words}'].v-btn--active").wait_for()

    def view(self, name: str) -> dict[str, float]:
        """Place of a view on the screen."""
        box = self.page.locator(f"[data-view='{name}'] .ss-view").bounding_box()
        assert box is not None
        return dict(box)

    def stroke(self, *, start: tuple[float, float], end: tuple[float, float], view: str = "Axial") -> None:
        """Paint from one place of a view to another; places are shares of its width and height."""
        box = self.view(view)
        places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in (start, end)]
        mouse = self.page.mouse
        mouse.move(*places[0])
        mouse.down()
        for step in range(1, 9):
            share = step / 8
            mouse.move(*(a + (b - a) * share for a, b in zip(*places, strict=True)))
        mouse.up()
