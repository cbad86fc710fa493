"""One error shape for every route: `{"error": {"code", "message", "details"?}}`."""

import logging
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from kaged.core.errors import STATUS, ConfigError, KagedError
from kaged.identity.middleware import answer
from kaged.identity.middleware import error_body as body

log = logging.getLogger(__name__)

_BY_STATUS = {
    400: "bad_request", 401: "unauthenticated", 403: "forbidden", 404: "not_found", 409: "conflict",
    413: "payload_too_large", 429: "rate_limited", 503: "unavailable",
}  # fmt: skip


def _validation(error: RequestValidationError) -> JSONResponse:
    fields = [
        {"field": ".".join(str(p) for p in item["loc"] if p != "body"), "rule": item["msg"]} for item in error.errors()
    ]
    first = fields[0]
    where = f"`{first['field']}`: " if first["field"] else "The request's body: "
    return JSONResponse(body("validation_failed", f"{where}{first['rule']}", fields), status_code=400)


def install(app: FastAPI) -> None:
    """Register the handlers; an unexpected exception is logged whole and answered with one plain line."""

    @app.exception_handler(KagedError)
    async def _kaged(_: Request, error: KagedError) -> JSONResponse:
        return answer(error)

    @app.exception_handler(ConfigError)
    async def _config(_: Request, error: ConfigError) -> JSONResponse:
        return JSONResponse(body("validation_failed", str(error)), status_code=400)

    @app.exception_handler(RequestValidationError)
    async def _invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        return _validation(error)

    @app.exception_handler(HTTPException)
    async def _http(_: Request, error: HTTPException) -> JSONResponse:
        if isinstance(error.__cause__, ValueError | RecursionError):
            # FastAPI raises this for a body that it cannot read at all.
            text = "The request's body is not JSON in UTF-8, or is nested too deeply."
            return JSONResponse(body("validation_failed", text), status_code=400)
        code = _BY_STATUS.get(error.status_code, "bad_request" if error.status_code < 500 else "internal")
        text = str(error.detail) if error.detail else HTTPStatus(error.status_code).phrase
        status = error.status_code if error.status_code in {*STATUS.values(), 405} else STATUS[code]
        return JSONResponse(body(code, text), status, error.headers)

    @app.exception_handler(Exception)
    async def _bug(request: Request, error: Exception) -> JSONResponse:
        log.error("unexpected error in %s %s", request.method, request.url.path, exc_info=error)
        return JSONResponse(body("internal", "kaged met an error of its own; the daemon's log has the details."), 500)
