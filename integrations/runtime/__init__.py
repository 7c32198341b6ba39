"""What a process holds while it runs: settings, database, worker, logs, health."""
