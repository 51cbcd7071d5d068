"""Names with values in brackets."""

import pytest

from ravine.core.target import expand


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("sphere", ["sphere"]),
        ("sphere[n=2]", ["sphere[n=2]"]),
        ("net.py:make[width=16|64, depth=2|3]", [f"net.py:make[width={w}, depth={d}]" for w in (16, 64) for d in (2, 3)]),
        ("a[s='x|y'|\"z\", t=(1|2)]", ["a[s='x|y', t=(1|2)]", 'a[s="z", t=(1|2)]']),
        ("a|b", ["a|b"]),
    ],
)
def test_choices_in_brackets_stand_for_several_names(text, names):
    assert expand(text) == names


@pytest.mark.parametrize("text", ["a[n=1|]", "a[n=|1]", "a[n=1||2]"])
def test_an_empty_choice_is_refused(text):
    with pytest.raises(ValueError, match="a value is missing beside"):
        expand(text)
