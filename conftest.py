import pytest


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory):
    """Keep tests away from the user's cache, where imported benchmarks lie."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BALENAS_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
