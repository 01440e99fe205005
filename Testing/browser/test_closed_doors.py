"""Who may talk to the app, and what it gives away: nobody without the token, nothing but the page."""

from __future__ import annotations

import urllib.error
import urllib.request

import pytest
from app_server import Server
from small_project import make_project

pytestmark = [pytest.mark.security, pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """One for all: nothing here changes it."""
    server = Server(str(make_project(tmp_path_factory.mktemp("doors") / "study").root))
    yield server
    server.end()


def answer(address: str, method: str = "GET", **headers: str) -> tuple[int, str]:
    asked = urllib.request.Request(address, method=method, headers=headers)
    try:
        with urllib.request.urlopen(asked, timeout=60) as said:
            return said.status, said.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")


def test_nothing_is_served_without_the_token(server):
    for path in ("/", "/?token=wrong", "/index.html", "/ws", "/semisupseg/page.js", "/seat", "/vue.global.js"):
        status, text = answer(server.root + path)
        assert status == 403, path
        assert "token" in text
    assert answer(server.root + "/upload", "POST")[0] == 403


def test_pages_of_other_hosts_are_refused_even_with_the_token(server):
    assert answer(server.address, Origin="http://example.org")[0] == 403
    assert answer(server.address, Host="example.org")[0] == 403


def test_the_server_listens_on_this_computer_only(server):
    import psutil

    listening = [c.laddr.ip for c in psutil.Process(server.process.pid).net_connections("tcp") if c.status == "LISTEN"]
    assert listening == ["127.0.0.1"]


def test_no_file_of_the_project_or_of_the_computer_can_be_fetched(server, open_page):
    tab = open_page(server.address)
    tab.case("patient_1").wait_for()
    for path in ("/project.json", "/semisupseg/../../../pyproject.toml", "/semisupseg/%2e%2e/%2e%2e/SemiSupSeg.py",
                 "/..%2f..%2fetc/passwd", "/../study/project.json"):  # fmt: skip
        assert tab.page.request.get(server.root + path).status in (403, 404), path
