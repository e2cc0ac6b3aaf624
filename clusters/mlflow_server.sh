#!/usr/bin/env bash
# Starts the MLflow server of a cluster on its head, on loopback; one that runs already is left alone.
#   MLFLOW_BACKEND_STORE_URI        where runs are kept, a SQLAlchemy URL: without it a database on this disk
#   MLFLOW_ARTIFACTS_DESTINATION    where artifacts are kept, a directory or an s3:// URL: without it on this disk
#   MLFLOW_PORT                     5000
set -euo pipefail
home="$HOME/mlflow"
mkdir -p "$home"
# Not in $home, which outlives a container: after it the number is another process's.
pid="${TMPDIR:-/tmp}/unlearning-mlflow.pid"
if [ -f "$pid" ] && kill -0 "$(cat "$pid")" 2>/dev/null; then
    exit 0
fi
# By the environment: an argument would show the URL in the list of processes.
export MLFLOW_BACKEND_STORE_URI="${MLFLOW_BACKEND_STORE_URI:-sqlite:///$home/mlflow.db}"
export MLFLOW_ARTIFACTS_DESTINATION="${MLFLOW_ARTIFACTS_DESTINATION:-$home/artifacts}"
# Its job runners serve features that no study uses, with seven more processes.
export MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false
# A session of its own, since the shell that starts it ends with the ssh connection.
setsid nohup mlflow server --host 127.0.0.1 --port "${MLFLOW_PORT:-5000}" --workers 1 \
    > "$home/server.log" 2>&1 < /dev/null &
echo $! > "$pid"
