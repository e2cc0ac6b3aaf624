#!/usr/bin/env bash
# Installs what a node of the cluster needs: the pinned requirements, in an environment beside the code. Run again it does nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
# In a container of the image rayproject/ray, python is the one that Ray was installed for.
python=$(command -v python || command -v python3)
[ -x .venv/bin/python ] || "$python" -m venv .venv
if ! cmp -s requirements.txt .venv/installed.txt; then
    .venv/bin/pip install --quiet --disable-pip-version-check -r requirements.txt
    cp requirements.txt .venv/installed.txt
fi
line='. "$HOME/data-unlearning-search/clusters/node_profile.sh"'
grep -qxF "$line" ~/.bashrc 2>/dev/null || echo "$line" >> ~/.bashrc
