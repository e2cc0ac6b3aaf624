"""MLflow's client as a guest: it makes no call of its own accord, keeps off the terminal, leaves retrying to others."""

from __future__ import annotations

import logging
import os
from typing import Any, Final

# MLFLOW_DISABLE_TELEMETRY: without it MLflow asks its makers' server for a configuration.
# MLFLOW_HTTP_REQUEST_*: the tracker retries by itself; MLflow's own seven retries would hold its thread for minutes.
SETTINGS: Final = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}


def apply_settings() -> None:
    """What MLflow looks at when it is imported and when it is called, unless the environment says otherwise."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)


def open_client(tracking_uri: str) -> Any:
    """An MlflowClient of a store. The import takes seconds."""
    apply_settings()
    from mlflow.store.db import utils
    from mlflow.tracking import MlflowClient

    utils.MAX_RETRY_COUNT = 1  # as with servers: ten tries at a database take a minute and a half
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return MlflowClient(tracking_uri)
