"""Guards the folders that clusters mount over: made when missing, gone with the last cluster."""

from __future__ import annotations

import os
from pathlib import Path

from tests.cluster.mountpoints import held, hold, let_go


def test_a_missing_folder_is_gone_again_after_the_last_holder(tmp_path: Path) -> None:
    folder = tmp_path / "lib" / "kubelet"
    first, second = hold(folder), hold(folder)
    os.close(first)
    let_go(folder)
    assert folder.is_dir()
    os.close(second)
    let_go(folder)
    assert not folder.exists()


def test_a_folder_that_was_there_stays(tmp_path: Path) -> None:
    folder = tmp_path / "kubelet"
    folder.mkdir()
    with held([folder]):
        pass
    let_go(folder)
    assert list(tmp_path.iterdir()) == [folder]


def test_a_folder_in_which_somebody_keeps_something_stays(tmp_path: Path) -> None:
    folder = tmp_path / "kubelet"
    with held([folder]):
        (folder / "theirs").touch()
    let_go(folder)
    assert (folder / "theirs").exists()


def test_a_folder_that_is_gone_is_let_go_without_complaint(tmp_path: Path) -> None:
    let_go(tmp_path / "kubelet")
    assert list(tmp_path.iterdir()) == []
