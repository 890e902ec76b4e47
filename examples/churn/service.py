"""The service: who is about to leave, by the model of ``train`` and by features as of now.

    uvicorn --factory examples.churn.service:from_environment

``ASSAY_URL``, ``ASSAY_TOKEN`` and ``ASSAY_PROJECT`` say where features are read, ``CHURN_MODEL``
is the model's file, ``CHURN_TIMEOUT`` how many seconds a prediction waits for features.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from assay import AsyncFeatureStore
from assay.errors import (
    AssayError,
    NotFound,
    ServerError,
    ServerUnreachable,
    TooManyRequests,
    Unavailable,
)
from assay.online import OnlineResponse
from examples.churn.model import Model

logger = logging.getLogger("uvicorn.error")

#: Features cannot be read now. Whatever else is refused, another try would be refused as well.
NOT_NOW = (ServerUnreachable, Unavailable, TooManyRequests, ServerError)
CHECK_TIMEOUT_SECONDS = 10
TIMEOUT_SECONDS = 0.2
MOST_CUSTOMERS = 1000


class NotTheTrained(Exception):
    """What is served is not what the model was trained on; says which version, and why."""

    code = "not_the_trained"


class Customer(BaseModel, extra="forbid"):
    """Who is asked about, and what the caller is about to offer them."""

    customer_id: Annotated[int, Field(ge=-(2**63), lt=2**63)]
    discount: Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)] = 0.0


class Question(BaseModel, extra="forbid"):
    customers: Annotated[list[Customer], Field(min_length=1, max_length=MOST_CUSTOMERS)]


class Feature(BaseModel):
    value: Any
    status: str


class Told(BaseModel):
    """``filled`` names inputs without a value, for which the training rows' median stood in."""

    customer_id: int
    chance: float
    basis: Literal["features", "base_rate"]
    features: dict[str, Feature]
    filled: list[str]


class Why(BaseModel):
    code: str
    detail: str


class Answer(BaseModel):
    """``fallback`` says why all predictions are the base rate, where they are."""

    dataset: str
    manifest_hash: str
    predictions: list[Told]
    fallback: Why | None = None
    warnings: list[str] = []


def from_environment() -> FastAPI:
    model = Model.model_validate_json(
        Path(os.environ.get("CHURN_MODEL", "churn-model.json")).read_bytes()
    )
    timeout = float(os.environ.get("CHURN_TIMEOUT", TIMEOUT_SECONDS))
    # One try: a prediction that comes late is worth less than one without features.
    store = AsyncFeatureStore(timeout=timeout, retries=0)
    return application(model, store, timeout=timeout)


def application(
    model: Model, store: AsyncFeatureStore, *, timeout: float = TIMEOUT_SECONDS
) -> FastAPI:
    features = Features(store, model, timeout=timeout)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with store:
            await features.start()
            try:
                yield
            finally:
                features.stop()

    app = FastAPI(title="Churn", lifespan=lifespan)

    @app.exception_handler(NotTheTrained)
    @app.exception_handler(AssayError)
    async def refused(_: Request, exc: NotTheTrained | AssayError) -> JSONResponse:
        """Answer what no caller of ours can mend: a token that ended, a version that is retired."""
        logger.error("features are refused: %s: %s", exc.code, exc)
        return JSONResponse({"code": exc.code, "detail": str(exc)}, status_code=503)

    @app.post("/predict")
    async def predict(question: Question) -> Answer:
        found, why = await features.read(question.customers)
        if found is None:
            return _answer(model, [_by_rate(model, each) for each in question.customers], why)
        told = _by_features(model, found, question.customers)
        return _answer(model, told, warnings=found.warnings)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz")
    async def readyz() -> dict[str, Any]:
        """Ready without features too; says what became of the last read, and reads nothing itself.

        A read of its own would count as use of the versions that it reads.
        """
        why = await features.last()
        return {"status": "ok", "dataset": model.dataset, "reads_features": why is None, "why": why}

    return app


class Features:
    """The features of the trained versions, which are read once they were found to be those."""

    def __init__(self, store: AsyncFeatureStore, model: Model, *, timeout: float) -> None:
        self._store, self._model, self._timeout = store, model, timeout
        self._check: asyncio.Task[None] | None = None
        self._why: Why | None = None

    async def start(self) -> None:
        """Check the versions. While they cannot be asked for, it is tried again as others ask."""
        try:
            await self._checked(CHECK_TIMEOUT_SECONDS)
        except NOT_NOW as exc:
            self._why = _not_now(exc)

    def stop(self) -> None:
        if self._check is not None:
            self._check.cancel()

    async def read(self, customers: list[Customer]) -> tuple[OnlineResponse | None, Why | None]:
        """Read the features of customers, or say why they cannot be read now."""
        rows = [each.model_dump() for each in customers]
        try:
            await self._checked(self._timeout)
            found = await self._store.get_online_features(self._model.references, rows)
        except NOT_NOW as exc:
            self._why = _not_now(exc)
            return None, self._why
        except (NotTheTrained, AssayError) as exc:
            self._why = Why(code=exc.code, detail=str(exc))
            raise
        self._why = None
        return found, None

    async def last(self) -> Why | None:
        """Return why the last read gave no features, None where it did or there was none yet.

        :raises NotTheTrained: nothing was read yet, and the versions are others.
        :raises AssayError: nothing was read yet, and the versions are not told.
        """
        was_checked = self._is_checked
        try:
            await self._checked(self._timeout)
        except NOT_NOW as exc:
            return _not_now(exc)
        if not was_checked:
            self._why = None
        return self._why

    @property
    def _is_checked(self) -> bool:
        check = self._check
        if check is None or not check.done() or check.cancelled():
            return False
        return check.exception() is None

    async def _checked(self, seconds: float) -> None:
        """Return once the versions were found to be the trained; one check at a time, until one is.

        :raises NotTheTrained: they are others.
        :raises AssayError: they are not told; ServerUnreachable if not within ``seconds``.
        """
        if self._check is None or (self._check.done() and not self._is_checked):
            patient = self._store.with_options(timeout=CHECK_TIMEOUT_SECONDS)
            self._check = asyncio.create_task(check(patient, self._model))
        done, _ = await asyncio.wait({self._check}, timeout=seconds)
        if not done:
            raise ServerUnreachable("the versions that the model was trained on are being checked")
        self._check.result()


async def check(store: AsyncFeatureStore, model: Model) -> None:
    """Return if each version that the model was trained on is served as it was then.

    :raises NotTheTrained: one is not there, is not ready, or computes something else.
    """
    for reference, trained in model.fingerprints.items():
        try:
            version = await store.get_feature_view_version(reference)
        except NotFound as exc:
            raise NotTheTrained(f"{reference}, of {model.dataset}, is not there: {exc}") from exc
        if version["data_fingerprint"] != trained:
            raise NotTheTrained(
                f"{reference} computes {version['data_fingerprint']}, but {model.dataset} was made"
                f" of {trained}; train again, or name the project that the model was trained in"
            )
        if not version["ready"]:
            raise NotTheTrained(f"{reference} is {version['state']} and not ready to be read")
        if version["state"] != "approved":
            logger.warning("%s is %s; train again", reference, version["state"])
    logger.info("%s is served as it was trained: %s", model.dataset, ", ".join(model.references))


def _not_now(exc: AssayError) -> Why:
    logger.warning("the base rate stands in: %s: %s", exc.code, exc)
    return Why(code=exc.code, detail=str(exc))


def _by_features(model: Model, found: OnlineResponse, customers: list[Customer]) -> list[Told]:
    values, statuses = found.to_dict(), found.statuses()
    names = [name for name in found.names if name not in Customer.model_fields]
    told = []
    for row, customer in enumerate(customers):
        features = {n: Feature(value=values[n][row], status=statuses[n][row]) for n in names}
        inputs = {name: feature.value for name, feature in features.items()}
        chance, filled = model.predict(inputs)
        told.append(
            Told(
                customer_id=customer.customer_id,
                chance=chance,
                basis="features",
                features=features,
                filled=filled,
            )
        )
    return told


def _by_rate(model: Model, customer: Customer) -> Told:
    return Told(
        customer_id=customer.customer_id,
        chance=model.base_rate,
        basis="base_rate",
        features={},
        filled=[],
    )


def _answer(
    model: Model, told: list[Told], why: Why | None = None, *, warnings: list[str] | None = None
) -> Answer:
    return Answer(
        dataset=model.dataset,
        manifest_hash=model.manifest_hash,
        predictions=told,
        fallback=why,
        warnings=warnings or [],
    )
