"""Put the site's pages together below ``build/site``; ``make docs`` makes HTML of them.

The pages of ``docs/`` and what the site takes from elsewhere are copied with their links put
right, formulas become MathML, and the reference is generated from the code itself. So nothing of
the reference is written by hand, and the same pages read well in the repository.
"""

from __future__ import annotations

import shutil

from pages import ROOT, carried, converted, write
from reference import reference_pages

OUT = ROOT / "build" / "site"


def main() -> None:
    """Write every page anew."""
    shutil.rmtree(OUT / "pages", ignore_errors=True)
    for source, target in carried().items():
        if source.suffix == ".md":
            write(OUT / "pages" / target, converted(source, target))
        else:
            path = OUT / "pages" / target
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, path)
    for target, text in reference_pages().items():
        write(OUT / "pages" / target, text)


if __name__ == "__main__":
    main()
