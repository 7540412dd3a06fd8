"""The broker's answers: the envelope of success and of errors, in both of its spellings."""

from collections.abc import Mapping, Sequence

import orjson
from starlette.responses import Response

Json = Mapping[str, object] | Sequence[object] | str | int | float | bool | None

# What a status means when nothing more precise is known.
USUAL = {
    400: ("UDAPI100036", "Invalid Input"),
    401: ("UDAPI100050", "Invalid token used to access API"),
    403: ("UDAPI100016", "Invalid Credentials"),
    404: ("UDAPI100060", "Resource not Found."),
    405: ("UDAPI10000", "This request is not supported by Upstox API"),
    422: ("UDAPI100036", "Invalid Input"),
    423: ("UDAPI100072", "Funds service is accessible from 5:30 AM to 12:00 AM IST"),
    429: ("UDAPI10005", "Too Many Request Sent"),
}
OTHER = ("UDAPI100500", "Something went wrong... please contact us")


class BrokerError(Exception):
    """A refusal that becomes an error envelope."""

    def __init__(
        self,
        status: int,
        code: str = "",
        message: str = "",
        *,
        path: str | None = None,
        value: Json = None,
    ) -> None:
        usual_code, usual_message = USUAL.get(status, OTHER)
        self.status = status
        self.code = code or usual_code
        self.message = message or usual_message
        self.path = path
        self.value = value
        super().__init__(f"{status} {self.code}: {self.message}")


def success(data: Json) -> dict[str, Json]:
    return {"status": "success", "data": data}


def error(trouble: BrokerError) -> dict[str, Json]:
    """Write both spellings, the documented one and its deprecated twin, as the broker does."""
    return {
        "status": "error",
        "errors": [
            {
                "errorCode": trouble.code,
                "message": trouble.message,
                "propertyPath": trouble.path,
                "invalidValue": trouble.value,
                "error_code": trouble.code,
                "property_path": trouble.path,
                "invalid_value": trouble.value,
            }
        ],
    }


def answer(
    data: dict[str, Json], status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    return Response(orjson.dumps(data), status, headers, "application/json")


def refusal(trouble: BrokerError, *, retry_after: int | None = None) -> Response:
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return answer(error(trouble), trouble.status, headers)


def error_body(status: int) -> bytes:
    return orjson.dumps(error(BrokerError(status)))
