"""No way for data to become HTML or script: the calls that could are banned in the dashboard."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "dashboard"
SCRIPTS = {"run_javascript"}
MARKUP = {"add_head_html", "add_body_html", "add_css", "add_scss", "add_sass", "html", "markdown"}
SINKS = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|setHTML|document\.write|\beval\(|new Function"
)


def offences(source: str) -> Iterator[str]:
    """Yield each call that could turn data into markup or script."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and node.value == "html_columns":
            yield f"{node.lineno}: html_columns"
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        keywords = {k.arg: k.value for k in node.keywords}
        if name in SCRIPTS or "html_columns" in keywords or "sanitize" in keywords:
            yield f"{node.lineno}: {name}"
        if name in MARKUP and not all(_constant(argument) for argument in node.args):
            yield f"{node.lineno}: {name} of something that is not constant"
        if name == "notify" and "html" in keywords:
            yield f"{node.lineno}: notify as HTML"


def _constant(node: ast.expr) -> bool:
    """Return whether it is a literal, or a constant of a module by its name."""
    if isinstance(node, ast.Attribute):
        return node.attr.isupper()
    return isinstance(node, ast.Constant) or (isinstance(node, ast.Name) and node.id.isupper())


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.py")), ids=lambda p: str(p.name))
def test_no_python_file_makes_markup_from_data(path: Path) -> None:
    assert list(offences(path.read_text())) == []


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.js")), ids=lambda p: str(p.name))
def test_no_script_writes_markup(path: Path) -> None:
    assert SINKS.findall(path.read_text()) == []


@pytest.mark.parametrize(
    "source",
    [
        "ui.html(text)",
        "ui.html('x', sanitize=False)",
        "ui.run_javascript(f'alert({x})')",
        "ui.run_javascript('alert(1)')",
        "client.run_javascript(x)",
        "ui.add_head_html(f'<b>{x}</b>')",
        "ui.add_body_html(a + b)",
        "ui.markdown(reason)",
        "ui.aggrid(o, html_columns=[1])",
        "ui.notify(x, html=True)",
        "grid.props['html_columns'] = [0]",
    ],
)
def test_the_lint_sees_each_of_them(source: str) -> None:
    assert list(offences(source))


def test_the_lint_lets_constants_pass() -> None:
    assert list(offences("ui.add_css(frame.STYLE); ui.html('<hr>'); ui.notify('x')")) == []
