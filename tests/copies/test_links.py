"""Links of the documentation are looked at as a forge follows them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import links

PAGE = """# The page
## What `x` does, and [why](a.md)
## Twice
## Twice
```sh
# no heading
[no link](nowhere.md)
```
"""


def test_headings_are_named_as_a_forge_names_them() -> None:
    assert links.anchors(PAGE) == {"the-page", "what-x-does-and-why", "twice", "twice-1"}


@pytest.mark.parametrize(
    ("link", "fault"),
    [
        ("other.md", ""),
        ("other.md#twice-1", ""),
        ("#own", ""),
        ("https://example.org/nowhere#at-all", ""),
        ("picture.svg#layer", ""),
        ("gone.md", "there is no such file"),
        ("other.md#thrice", "the page has no such heading"),
        ("#other", "the page has no such heading"),
    ],
)
def test_a_link_that_leads_nowhere_is_told_with_its_line(
    link: str, fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links, "ROOT", tmp_path)
    (tmp_path / "other.md").write_text(PAGE.replace("(a.md)", "(other.md)"))
    (tmp_path / "picture.svg").touch()
    (tmp_path / "page.md").write_text(f"# Own\n\nIt is [there]({link}).\n")

    assert list(links.broken()) == ([f"page.md:3: {link}: {fault}"] if fault else [])
