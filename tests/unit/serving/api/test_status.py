import inspect

import grpc
import pytest

from serving import errors
from serving.api.status import error_status
from serving.errors import DigitServiceError


def domain_errors() -> list[type[DigitServiceError]]:
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, DigitServiceError)]
    return [kind for kind in kinds if kind is not DigitServiceError]


@pytest.mark.parametrize("kind", domain_errors())
def test_every_domain_error_has_its_own_status_and_keeps_its_message(kind: type[DigitServiceError]) -> None:
    error = kind.__new__(kind)
    Exception.__init__(error, "what to do")
    status = error_status(error)
    assert status.code is not grpc.StatusCode.INTERNAL
    assert status.message == "what to do"


def test_what_is_unknown_is_internal_and_its_text_stays_inside() -> None:
    status = error_status(KeyError("secret"))
    assert status.code is grpc.StatusCode.INTERNAL
    assert "secret" not in status.message
