"""Telegram's HTML becomes runs of text that a page can draw without trusting a letter of it."""

import random

import pytest

from trading.chat import Run, runs, words


def test_plain_text_is_one_run() -> None:
    assert runs("Market feed silent\nfor 17 s") == [Run("Market feed silent\nfor 17 s")]
    assert runs("") == []


def test_each_allowed_tag_becomes_its_style() -> None:
    html = "<b>a</b><i>b</i><u>c</u><s>d</s><code>e</code><pre>f</pre> g"

    assert runs(html) == [
        Run("a", bold=True),
        Run("b", italic=True),
        Run("c", underline=True),
        Run("d", strike=True),
        Run("ef", code=True),
        Run(" g"),
    ]


def test_styles_add_up_and_end_with_their_tag() -> None:
    assert runs("<b>x <i>y</i> z</b>") == [
        Run("x ", bold=True),
        Run("y", bold=True, italic=True),
        Run(" z", bold=True),
    ]


def test_what_was_escaped_is_read_back_and_is_no_tag() -> None:
    assert runs("&lt;b&gt;M&amp;M &quot;24000&quot; &#8377;5 &nbsp;") == [
        Run('<b>M&M "24000" ₹5 &nbsp;')
    ]


@pytest.mark.parametrize(
    "html", ["<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "a < b", "<", "</", "<b"]
)
def test_what_is_no_known_tag_is_shown_as_it_stands(html: str) -> None:
    assert runs(html) == [Run(html)]


@pytest.mark.parametrize(
    ("href", "link"),
    [
        ('"https://upstox.com/a?b=1&amp;c=2"', "https://upstox.com/a?b=1&c=2"),
        ("'http://127.0.0.1:8080/status'", "http://127.0.0.1:8080/status"),
        ('"javascript:alert(1)"', ""),
        ('" JavaScript:alert(1)"', ""),
        ('"data:text/html,x"', ""),
        ('"http://[1"', ""),
        ('""', ""),
    ],
)
def test_a_link_leads_to_the_web_or_nowhere(href: str, link: str) -> None:
    assert runs(f"<a href={href}>open</a>!") == (
        [Run("open", link=link), Run("!")] if link else [Run("open!")]
    )


def test_tags_that_cross_or_never_end_lose_no_text() -> None:
    assert words("<b>a<i>b</b>c</i>d</u><b>e") == "abcde"


def test_any_text_is_taken_and_no_letter_is_lost() -> None:
    seed = random.randrange(10**9)
    chance = random.Random(seed)
    # nothing that is white: after "<i" it would make an attribute of the next letter
    parts = ["<b>", "</b>", "<a href='x'>", "</a>", "<", ">", "&", "&lt;", "x", "<i", "'"]
    for _ in range(2_000):
        letters = [chance.choice(parts) for _ in range(chance.randrange(12))]
        shown = words("".join(letters))

        assert shown.count("x") >= sum(part == "x" for part in letters), f"seed {seed}"
