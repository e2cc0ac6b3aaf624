"""scripts/ is no package: its modules are found as the scripts themselves find them."""
