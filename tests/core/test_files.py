"""Files are whole or not there."""

import os

import pytest

from ravine.core.files import whole, write_whole


def test_text_and_bytes_take_the_place_of_what_was_there(tmp_path):
    file = tmp_path / "a.txt"
    write_whole(file, "alt – λ")
    assert file.read_bytes() == "alt – λ".encode()
    write_whole(file, b"\x00\x01")
    assert file.read_bytes() == b"\x00\x01"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_an_error_leaves_what_was_there_and_nothing_else(tmp_path):
    file = tmp_path / "a.txt"
    write_whole(file, "before")

    def half():
        with whole(file) as opened:
            opened.write(b"half")
            opened.flush()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        half()
    assert file.read_text() == "before"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_permissions_and_links_are_kept_and_a_device_is_refused(tmp_path):
    file, link = tmp_path / "a.txt", tmp_path / "b.txt"
    before = os.umask(0o027)
    try:
        write_whole(file, "1")
    finally:
        os.umask(before)
    assert file.stat().st_mode & 0o777 == 0o640
    file.chmod(0o600)
    link.symlink_to(file)
    write_whole(link, "2")
    assert file.read_text() == "2"
    assert link.is_symlink()
    assert file.stat().st_mode & 0o777 == 0o600
    for special in ("/dev/null", str(tmp_path)):
        with pytest.raises(ValueError, match="is no file that can be replaced"):
            write_whole(special, "3")
