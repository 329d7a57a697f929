create index concurrently events_by_name on events (name);
