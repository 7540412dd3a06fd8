"""Where the token is kept, and from whom."""

from pathlib import Path

import pytest

from feeds.upstox.token import FileToken, FixedToken, mark
from trading.errors import CannotStart, TokenRefused


def store(path: Path, *, given: str = "") -> FileToken:
    return FileToken(path, given=given)


def test_a_saved_token_is_private_and_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "secrets" / "token"
    store(path).save("abc\n")

    assert store(path).load() == "abc"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["token"]


def test_it_is_read_anew_every_time(tmp_path: Path) -> None:
    path = tmp_path / "token"
    ours = store(path)
    store(path).save("one")
    assert ours.load() == "one"
    store(path).save("two")

    assert ours.load() == "two"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_file_that_others_can_read_is_refused_with_the_remedy(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "token"
    store(path).save("abc")
    path.chmod(mode)

    with pytest.raises(CannotStart, match="chmod 600") as caught:
        store(path).load()
    assert "abc" not in str(caught.value)


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    store(tmp_path / "real").save("abc")
    (tmp_path / "token").symlink_to(tmp_path / "real")

    with pytest.raises(CannotStart):
        store(tmp_path / "token").load()


def test_a_folder_is_no_token(tmp_path: Path) -> None:
    with pytest.raises(CannotStart):
        store(tmp_path).load()


def test_no_token_is_a_matter_for_the_login(tmp_path: Path) -> None:
    with pytest.raises(TokenRefused, match="log in"):
        store(tmp_path / "none").load()


def test_a_token_given_at_the_start_yields_to_a_file_written_since(tmp_path: Path) -> None:
    """Otherwise yesterday's environment would shut out this morning's token."""
    path = tmp_path / "token"
    store(path).save("yesterday's file")
    ours = store(path, given="from outside\n")
    assert ours.load() == "from outside"
    store(path).save("this morning's")

    assert ours.load() == "this morning's"


def test_a_mark_changes_with_the_token_and_tells_nothing(tmp_path: Path) -> None:
    path = tmp_path / "token"
    ours = store(path)
    marks = [mark(ours)]
    for token in ("one", "two"):
        ours.save(token)
        marks.append(mark(ours))
    path.chmod(0o644)
    marks.append(mark(ours))

    assert len(set(marks)) == 4
    assert all("one" not in m.split() and "two" not in m.split() for m in marks)


def test_a_token_is_in_no_repr(tmp_path: Path) -> None:
    ours = store(tmp_path / "token")
    ours.save("canary")

    assert "canary" not in repr(ours) + repr(FixedToken("canary"))
