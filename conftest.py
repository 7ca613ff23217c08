from pathlib import Path

import pytest

ACROSS = Path(__file__).parent / "tests"


@pytest.hookimpl(trylast=True)  # when it is known what is left out
def pytest_collection_modifyitems(items):
    """Begin with what takes longest, so that no process is left with it alone at the end.

    Those are the modules with slow tests, and among them those that look at all packages
    together. A module stays in one piece, for the sake of what its tests share.
    """
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (item.path not in slow, not item.path.is_relative_to(ACROSS)))


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory):
    """Keep tests away from the user's cache, where imported benchmarks lie."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BALENAS_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
