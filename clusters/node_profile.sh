# What every shell of a cluster's node begins with; set_up_node.sh adds it to ~/.bashrc.
export PATH="$HOME/data-unlearning-search/.venv/bin:$PATH"
# Who has not the token of ~/.ray/auth_token is refused, node or client.
export RAY_AUTH_MODE=token
export RAY_USAGE_STATS_ENABLED=0
# Seconds that `ray job stop` leaves a study to finish the reports of its running trials, write and say how to go on; Ray's own are 3.
export RAY_JOB_STOP_WAIT_TIME_S=1800
