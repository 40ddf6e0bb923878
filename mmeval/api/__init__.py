"""The vocabulary of plugins: tasks, specs, sources, configs, recipes and hooks."""
