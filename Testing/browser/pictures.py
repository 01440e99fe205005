"""The README's pictures of the browser app, taken by the driver of its test.

    python Testing/browser/pictures.py                # writes Resources/Screenshots/app_*.png
    python Testing/browser/pictures.py --to FOLDER

SYNTHETIC cases that all have the same organs, and the engine's stand-in, which proposes those of one case for another
within seconds: the pictures show the page, not how good a model is. Needs what the browser test needs.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "Testing"), str(HERE)]

from app_server import ARGUMENTS, CHROMIUM, PATIENCE, Server  # noqa: E402  beside this file
from small_project import make_project  # noqa: E402
from tab import Tab  # noqa: E402

SIZE = {"width": 1500, "height": 940}
BITS = 6
"""Of each colour in a picture."""
KNOWN, UNKNOWN, ORGAN = "synthetic_1", "synthetic_3", "liver"


def until(done: Callable[[], object]) -> None:
    """Wait for something that a real process does."""
    deadline = time.monotonic() + PATIENCE
    while not done():
        if time.monotonic() > deadline:
            msg = "the page did not get there in time"
            raise SystemExit(msg)
        time.sleep(0.1)


def take(tab: Any, project: Path) -> None:
    """Go through the loop and take a picture of each part of it."""
    from SemiSupSegLib.project.project import Project

    def state(case: str, organ: str) -> str:
        return str(Project.open(project).case(case).annotation(organ).state)

    tab.case(KNOWN).wait_for()
    tab.open_case(KNOWN)
    tab.page.wait_for_timeout(4000)  # the views have their size
    tab.choose(ORGAN)
    tab.tool("Paint")
    box = tab.view("Axial")
    tab.page.mouse.move(box["x"] + 0.35 * box["width"], box["y"] + 0.5 * box["height"])  # the brush is to be seen
    tab.picture("app_annotate")

    tab.tool("No tool")
    tab.open_case(UNKNOWN)
    tab.page.locator("#sectionTrain .v-select").first.click()
    tab.page.get_by_role("option", name="Balanced").click()
    tab.press("train")
    tab.page.locator("#curve svg").wait_for()
    _look_at(tab, "Train")
    tab.picture("app_train")
    tab.press("pause")
    tab.enabled("train")
    tab.page.locator("#sectionTrain .v-select").first.click()
    tab.page.get_by_role("option", name="Quick").click()
    tab.press("train")

    tab.proposal(UNKNOWN, ORGAN).wait_for()
    tab.proposal(UNKNOWN, ORGAN).click()
    tab.page.locator("#reason").filter(has_text=f"{ORGAN} in {UNKNOWN}").wait_for()
    tab.page.locator("#overlay").check()
    tab.enabled("worst")
    tab.page.keyboard.press("j")
    tab.page.locator("#slice").filter(has_text="U 0.").wait_for()
    tab.at_rest()
    _look_at(tab, "Review")
    tab.picture("app_review")

    tab.page.keyboard.press("a")
    until(lambda: state(UNKNOWN, ORGAN) == "complete")
    tab.at_rest()
    tab.page.locator("#overlay").uncheck()
    tab.page.locator("#legend").wait_for(state="detached")
    tab.page.locator("#organs3d").click()
    tab.page.locator("#organs3d .text-primary").wait_for()
    tab.page.wait_for_timeout(3000)  # the surfaces are made, and drawn
    _look_at(tab, "Organs")
    tab.picture("app_accepted")


def _look_at(tab: Any, section: str) -> None:
    """Scroll a section to the top of the panel."""
    tab.page.locator(f"#section{section}").evaluate("e => e.scrollIntoView({ block: 'start' })")


def shrink(folder: Path) -> None:
    """Fewer shades of each colour: noise takes most of a file, and nobody sees its last bits."""
    from PIL import Image, ImageOps

    for path in sorted(folder.glob("app_*.png")):
        with Image.open(path) as picture:
            small = ImageOps.posterize(picture.convert("RGB"), BITS)
        small.save(path, optimize=True)
        sys.stdout.write(f"{path}: {path.stat().st_size // 1000} KB\n")


def main() -> None:
    """Write them."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", type=Path, default=REPOSITORY / "Resources" / "Screenshots")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="semisupseg_pictures_") as room:
        project = make_project(Path(room) / "synthetic study", "synthetic").root
        server = Server(str(project))
        try:
            with sync_playwright() as driver:
                browser = driver.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
                take(Tab(browser.new_page(viewport=SIZE), server.address, args.to, PATIENCE), project)
                browser.close()
        finally:
            server.end()
    shrink(args.to)


if __name__ == "__main__":
    main()
