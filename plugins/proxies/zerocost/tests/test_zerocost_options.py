import pytest
from pydantic import ValidationError

from balenas_proxy_zerocost.options import NtkOptions, SwapOptions, ZicoOptions


@pytest.mark.parametrize("given", [{"mu": 1.0}, {"sigma": 1.0}])
def test_half_a_regularisation_is_refused(given):
    with pytest.raises(ValidationError, match="`mu` and `sigma` go together"):
        SwapOptions(**given)


def test_numbers_out_of_range_are_refused():
    with pytest.raises(ValidationError, match="greater than or equal to 2"):
        ZicoOptions(parts=1)
    with pytest.raises(ValidationError, match="greater than or equal to 2"):
        NtkOptions(images=1)
