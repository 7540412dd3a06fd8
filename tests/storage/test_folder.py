import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from storage.folder import DataFolder
from trading.errors import CannotStart


def test_a_second_copy_is_refused_and_told_who_holds_the_folder(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    program = (
        "from pathlib import Path\nfrom storage.folder import DataFolder\n"
        f"DataFolder(Path({str(folder.path)!r}))"
    )
    second = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    folder.release()
    third = subprocess.run([sys.executable, "-c", program], check=False)

    assert second.returncode != 0
    assert f"process {os.getpid()}" in second.stderr
    assert third.returncode == 0


def test_the_folder_is_for_its_owner_only(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "deep" / "data")

    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    folder.release()


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")

    with pytest.raises(CannotStart, match="cannot be used"):
        DataFolder(blocked / "data")


def test_a_lock_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(CannotStart, match="cannot be used"):
        DataFolder(tmp_path)
    assert not (tmp_path / "elsewhere").exists()
